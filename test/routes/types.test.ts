import type { Static, TSchema } from '@sinclair/typebox'
import t from 'tap'
import { ActivityQuery, ActivitySchema } from '../../src/routes/schemas/activity.ts'
import { AlertQuery, AlertSchema } from '../../src/routes/schemas/alerts.ts'
import {
  ConnectionSchema,
  ConnectionTestSchema,
  CreateConnectionSchema,
  UpdateConnectionSchema,
  WebhookSecretSchema
} from '../../src/routes/schemas/connections.ts'
import {
  DeviceGroupEnsuredSchema,
  DeviceGroupStatusSchema,
  DeviceGroupSyncSchema
} from '../../src/routes/schemas/device-groups.ts'
import { HealthSchema } from '../../src/routes/schemas/health.ts'
import { DeviceDetailSchema, DeviceQuery, DeviceSchema } from '../../src/routes/schemas/inventory.ts'
import {
  ClientSchema,
  MappingChangeSchema,
  OrganizationSchema,
  CountedQuerySchema,
  PageQuerySchema,
  SuggestionSchema
} from '../../src/routes/schemas/organizations.ts'
import { ProviderSchema } from '../../src/routes/schemas/providers.ts'
import { DeviceSyncSchema, RunItemSchema, RunSchema, SyncRequestSchema } from '../../src/routes/schemas/sync.ts'
import { DeliverySchema, WebhookInfoSchema } from '../../src/routes/schemas/webhooks.ts'
import type * as v from '../../src/types.ts'

/** `true` where each is assignable to the other; the compiler refuses the call otherwise. */
type Same<S extends TSchema, T> = [Static<S>] extends [T]
  ? [T] extends [Static<S>]
    ? true
    : 'the schema lacks or restricts a field'
  : 'the schema allows more'

function same<T>() {
  return <S extends TSchema>(schema: S, _same: Same<S, T>) => schema
}

t.test('every schema and its public interface are assignable to each other', async t => {
  const schemas = [
    same<v.ProviderInfo>()(ProviderSchema, true),
    same<v.Connection>()(ConnectionSchema, true),
    same<v.CreateConnection>()(CreateConnectionSchema, true),
    same<v.UpdateConnection>()(UpdateConnectionSchema, true),
    same<v.WebhookSecret>()(WebhookSecretSchema, true),
    same<v.ConnectionTest>()(ConnectionTestSchema, true),
    same<v.Organization>()(OrganizationSchema, true),
    same<v.MappingChange>()(MappingChangeSchema, true),
    same<v.MappingSuggestion>()(SuggestionSchema, true),
    same<v.Client>()(ClientSchema, true),
    same<v.PageQuery>()(PageQuerySchema, true),
    same<v.CountedQuery>()(CountedQuerySchema, true),
    same<v.Run>()(RunSchema, true),
    same<v.RunItem>()(RunItemSchema, true),
    same<v.SyncRequest>()(SyncRequestSchema, true),
    same<v.DeviceSyncResult>()(DeviceSyncSchema, true),
    same<v.Device>()(DeviceSchema, true),
    same<v.DeviceDetail>()(DeviceDetailSchema, true),
    // A URL knows three words where the service takes two booleans and a word.
    same<Omit<v.DeviceFilter & v.CountedQuery, 'removed'> & { removed?: 'true' | 'false' | 'any' }>()(
      DeviceQuery,
      true
    ),
    same<v.Alert>()(AlertSchema, true),
    same<v.AlertFilter & v.CountedQuery>()(AlertQuery, true),
    same<v.DeviceGroupSync>()(DeviceGroupSyncSchema, true),
    same<v.DeviceGroupEnsured>()(DeviceGroupEnsuredSchema, true),
    same<v.DeviceGroupStatus>()(DeviceGroupStatusSchema, true),
    same<v.WebhookInfo>()(WebhookInfoSchema, true),
    same<v.Delivery>()(DeliverySchema, true),
    same<v.Activity>()(ActivitySchema, true),
    same<v.ActivityFilter & v.CountedQuery>()(ActivityQuery, true),
    same<v.Health>()(HealthSchema, true)
  ]
  // A field that is optional in the interface but missing in the schema is assignable both ways: compare the names too.
  const names = (schema: TSchema) => Object.keys(schema['properties'])
  t.strictSame(names(SyncRequestSchema), ['resources', 'mode', 'force', 'plan'] satisfies Array<keyof v.SyncRequest>)
  t.strictSame(names(MappingChangeSchema), ['mode', 'clientRef', 'autoSync'] satisfies Array<keyof v.MappingChange>)
  t.strictSame(names(CreateConnectionSchema).sort(), [
    'allowDuplicate',
    'config',
    'movePolicy',
    'name',
    'provider',
    'schedule',
    'secrets'
  ] satisfies Array<keyof v.CreateConnection>)
  t.strictSame(names(UpdateConnectionSchema).sort(), [
    'allowDuplicate',
    'config',
    'movePolicy',
    'name',
    'schedule',
    'secrets'
  ] satisfies Array<keyof v.UpdateConnection>)
  t.strictSame(names(DeviceQuery).sort(), [
    'assetRef',
    'clientRef',
    'connectionId',
    'cursor',
    'descendants',
    'externalId',
    'limit',
    'mapped',
    'online',
    'organizationExternalId',
    'provider',
    'q',
    'removed',
    'serialNumber',
    'sort',
    'total',
    'updatedSince'
  ] satisfies Array<keyof v.DeviceFilter | keyof v.CountedQuery>)
  t.strictSame(names(AlertQuery).sort(), [
    'connectionId',
    'cursor',
    'deviceId',
    'limit',
    'severity',
    'status',
    'total'
  ] satisfies Array<keyof v.AlertFilter | keyof v.CountedQuery>)
  t.strictSame(names(ActivityQuery).sort(), ['actor', 'cursor', 'limit', 'since', 'total', 'type'])
  for (const schema of schemas) t.equal(schema['type'], 'object')
})

t.test('every field of every schema is described', async t => {
  const undescribed: string[] = []
  const walk = (schema: TSchema, path: string): void => {
    for (const [name, field] of Object.entries<TSchema>(schema['properties'] ?? {})) {
      if (!field.description && field['const'] === undefined) undescribed.push(`${path}.${name}`)
      walk(field, `${path}.${name}`)
      if (field['items']) walk(field['items'], `${path}.${name}[]`)
    }
  }
  const all = {
    ConnectionSchema,
    CreateConnectionSchema,
    OrganizationSchema,
    RunSchema,
    DeviceDetailSchema,
    AlertSchema,
    DeviceGroupSyncSchema,
    WebhookInfoSchema,
    DeliverySchema,
    DeviceQuery,
    ActivitySchema,
    ActivityQuery
  }
  for (const [name, schema] of Object.entries(all)) walk(schema, name)
  t.strictSame(undescribed, [])
})
