import { isIP } from 'node:net'
import { FormatRegistry, type TSchema, Type } from '@sinclair/typebox'
import { alertSeverities, deviceKinds } from '../../words.ts'
import type { DeviceFacts, UpdateRecord } from '../../providers/define.ts'
import type { ResourceName } from '../../types.ts'

/**
 * Records as TypeBox schemas: what every record must have, the type and the sensible range of every other field, and
 * no field that the model does not know. The ranges are wide; outside of them a unit or a field was mixed up.
 */

const day = 86_400_000
FormatRegistry.Set('rmm-mac', value => /^[0-9a-f]{12}$/i.test(value.replace(/[^0-9a-z]/gi, '')))
FormatRegistry.Set('rmm-ip', value => isIP(value) !== 0)

const told = <T extends TSchema>(schema: T) => Type.Optional(Type.Union([schema, Type.Null(), Type.Undefined()]))
const text = told(Type.String())
const Id = Type.Union([
  Type.String({ minLength: 1, maxLength: 500 }),
  Type.Integer({ minimum: Number.MIN_SAFE_INTEGER, maximum: Number.MAX_SAFE_INTEGER }),
  Type.BigInt()
])
/** 1980 to tomorrow: seconds taken for milliseconds, or the other way round, are elsewhere. */
const Time = Type.Date({ minimumTimestamp: Date.UTC(1980, 0) })
const leastBytes = 1 << 20
/** 0 is what platforms say that do not know. */
const bytes = told(Type.Union([Type.Integer({ minimum: leastBytes, maximum: 2 ** 52 }), Type.Literal(0)]))
const json = told(Type.Record(Type.String(), Type.Unknown()))

const facts = {
  assetType: told(Type.Union([Type.Literal('workstation'), Type.Literal('server')])),
  kind: told(Type.Union(deviceKinds.map(word => Type.Literal(word)))),
  hostname: text,
  serialNumber: text,
  manufacturer: text,
  model: text,
  alternatives: told(
    Type.Object(
      {
        serialNumber: Type.Optional(Type.Array(Type.String())),
        manufacturer: Type.Optional(Type.Array(Type.String())),
        model: Type.Optional(Type.Array(Type.String()))
      },
      { additionalProperties: false }
    )
  ),
  osType: text,
  osVersion: text,
  lastRebootAt: told(Time),
  currentUser: text,
  lanIp: told(Type.String({ format: 'rmm-ip' })),
  wanIp: told(Type.String({ format: 'rmm-ip' })),
  macAddresses: told(Type.Array(Type.String({ format: 'rmm-mac' }))),
  interfaces: told(
    Type.Array(
      Type.Object(
        {
          name: text,
          description: text,
          macAddress: text,
          addresses: told(Type.Array(Type.String())),
          gateway: told(Type.Union([Type.String(), Type.Boolean()])),
          up: told(Type.Boolean())
        },
        { additionalProperties: false }
      )
    )
  ),
  cpuModel: text,
  cpuCores: told(Type.Integer({ minimum: 0, maximum: 65_536 })),
  ramBytes: bytes,
  volumes: told(
    Type.Array(
      Type.Object(
        {
          name: Type.String(),
          totalBytes: Type.Union([Type.Integer({ minimum: 0 }), Type.Null()]),
          freeBytes: Type.Union([Type.Integer({ minimum: 0 }), Type.Null()])
        },
        { additionalProperties: false }
      )
    )
  ),
  antivirus: told(
    Type.Object(
      { provider: Type.Union([Type.String(), Type.Null()]), status: Type.Union([Type.String(), Type.Null()]) },
      { additionalProperties: false }
    )
  ),
  location: text,
  tags: told(Type.Array(Type.String())),
  maintenanceMode: told(Type.Boolean()),
  details: json
} satisfies Record<keyof DeviceFacts, TSchema>

export const AlertRecordSchema = Type.Object(
  {
    externalId: Id,
    deviceExternalId: told(Id),
    name: Type.String({ minLength: 1 }),
    description: text,
    severity: Type.Union(alertSeverities.map(word => Type.Literal(word))),
    providerSeverity: text,
    status: Type.Union([Type.Literal('active'), Type.Literal('resolved')]),
    startedAt: Time,
    resolvedAt: told(Time),
    details: json,
    derived: told(Type.Boolean())
  },
  { additionalProperties: false }
)

const count = told(Type.Integer({ minimum: 0 }))

export const recordSchemas: Record<ResourceName, TSchema> = {
  organizations: Type.Object(
    {
      externalId: Id,
      name: Type.String({ minLength: 1 }),
      parentExternalId: told(Id),
      deviceCount: count,
      descendantDeviceCount: count
    },
    { additionalProperties: false }
  ),
  devices: Type.Object(
    {
      externalId: Id,
      displayName: Type.String({ minLength: 1 }),
      organizationExternalId: told(Id),
      inventory: told(
        Type.Object(
          {
            revision: Type.String(),
            facts: Type.Union([Type.Object(facts, { additionalProperties: false }), Type.Null()])
          },
          { additionalProperties: false }
        )
      ),
      online: told(Type.Boolean()),
      lastSeenAt: told(Time),
      uptimeSeconds: told(Type.Number({ minimum: 0, maximum: (50 * 365 * day) / 1000 })),
      ...facts
    },
    { additionalProperties: false }
  ),
  updates: Type.Object(
    {
      externalId: Id,
      deviceExternalId: Id,
      title: text,
      kb: text,
      severity: text,
      category: text,
      publishedAt: told(Time)
    } satisfies Record<keyof UpdateRecord, TSchema>,
    { additionalProperties: false }
  ),
  alerts: AlertRecordSchema
}

export const HintSchema = (resources: readonly string[]) =>
  Type.Object(
    {
      resource: Type.Union(resources.map(name => Type.Literal(name))),
      externalId: Id,
      kind: told(Type.Union(['changed', 'deleted', 'heartbeat'].map(kind => Type.Literal(kind))))
    },
    { additionalProperties: false }
  )
