import { type Static, type TObject, type TProperties, type TSchema, Type } from '@sinclair/typebox'
import {
  alertSeverities,
  changeEntities,
  changeKinds,
  resourceNames,
  runKinds,
  runTriggers,
  syncModes
} from './words.ts'

/**
 * Every event and its payload, once: the types below, what the code may write, and docs/events.md come from these
 * schemas. They are exported as `eventPayloads` for consumers that check what they receive.
 */

const Id = (description: string) => Type.String({ description })
const Text = (description: string) => Type.String({ description })
const Flag = (description: string) => Type.Boolean({ description })
const Count = (description: string) => Type.Integer({ minimum: 0, description })
const Time = (description: string) => Type.String({ format: 'date-time', description: `${description} ISO 8601, UTC.` })
const OneOf = <const W extends string>(words: readonly W[], description: string) =>
  Type.Unsafe<W>({ type: 'string', enum: [...words], description })
const Nullable = <S extends TSchema>(schema: S) =>
  Type.Unsafe<Static<S> | null>({
    ...schema,
    type: [schema['type'], 'null'],
    ...(schema['enum'] === undefined ? {} : { enum: [...schema['enum'], null] })
  })

/** A payload; its description says when the event is written. */
const Payload = <P extends TProperties>(when: string, fields: P): TObject<P> =>
  Type.Object(fields, { description: when, additionalProperties: false })

const syncEnded = {
  runId: Id('The run.'),
  kind: OneOf(runKinds, 'What it did.'),
  trigger: OneOf(runTriggers, 'What started it.'),
  mode: OneOf(syncModes, '`full` reads everything, `incremental` what changed.'),
  status: OneOf(
    ['succeeded', 'partial', 'failed', 'cancelled'],
    'How it ended. `partial`: some resources were read to their end, others failed.'
  ),
  totals: Type.Object(
    {
      created: Count('New records.'),
      updated: Count('Records that changed.'),
      unchanged: Count('Records that did not.'),
      removed: Count('Records that are gone.'),
      unmapped: Count('Devices that belong to no client.'),
      failed: Count('Records that could not be taken.'),
      handedOver: Type.Optional(Count('Known devices that were given to the host again.'))
    },
    { description: 'Over all resources.' }
  ),
  summary: Nullable(Text('One sentence that says what came of it.')),
  error: Nullable(
    Type.Object(
      { code: Text('Stable code, `RMM_ERR_…`.'), message: Text('What went wrong and what to do.') },
      { description: 'Why it failed; of a partial run, what failed and why.' }
    )
  ),
  failed: Type.Array(
    Type.Object({
      resource: OneOf(resourceNames, 'What was not read to its end.'),
      code: Nullable(Text('Stable code, `RMM_ERR_…`.')),
      message: Nullable(Text('What went wrong and what to do.'))
    }),
    { description: 'The resources that failed.' }
  )
}

const device = {
  deviceId: Id('Our id of the device.'),
  externalId: Id("The platform's id of it."),
  displayName: Text('Its name.'),
  clientRef: Nullable(Id('The client it belongs to.')),
  assetRef: Nullable(Id('The asset `onChanges` named for it.')),
  change: OneOf(['created', 'updated', 'removed', 'moved'], '`moved`: to another client, or to none.')
}

const alert = {
  alertId: Id('Our id of the alert.'),
  externalId: Id("The platform's id of it."),
  deviceId: Nullable(Id('Our id of the device it is about, where that is in the inventory.')),
  deviceExternalId: Nullable(Id("The platform's id of that device.")),
  deviceName: Nullable(Text('The name of that device, where it is in the inventory.')),
  clientRef: Nullable(Id('The client of that device.')),
  assetRef: Nullable(Id("The host's asset that the device is linked to.")),
  assignment: OneOf(['mapped', 'unmapped', 'excluded', 'none'], 'Whose the device is; `none`: no known device.'),
  name: Text('What the platform calls it.'),
  description: Nullable(Text('More about it.')),
  severity: OneOf(alertSeverities, 'In our four steps.'),
  status: OneOf(['active', 'resolved'], 'Whether it is over.'),
  startedAt: Time('When it began.'),
  origin: OneOf(['webhook', 'sweep', 'backfill'], '`backfill`: it was there before the first complete read of alerts.')
}

const deviceGroup = {
  clientRef: Id('The client.'),
  groupId: Nullable(Id("The platform's id of the group.")),
  name: Text('The name of the group.')
}

const mapping = (description: string) =>
  Type.Object(
    {
      mode: OneOf(['inherit', 'mapped', 'excluded'], 'What it is mapped to.'),
      clientRef: Nullable(Id('The client, where it is mapped to one.')),
      autoSync: Flag('Whether syncs read its devices.')
    },
    { description }
  )

export const eventPayloads = {
  RMM_SYNC_STARTED: Payload('A run began to read.', {
    runId: Id('The run.'),
    kind: OneOf(runKinds, 'What it does.'),
    trigger: OneOf(runTriggers, 'What started it.'),
    resources: Type.Array(OneOf(resourceNames, ''), { description: 'What it reads.' }),
    mode: OneOf(syncModes, '`full` reads everything, `incremental` what changed.')
  }),
  RMM_SYNC_COMPLETED: Payload('A run read what it was to read, or some of it (`status: "partial"`).', syncEnded),
  RMM_PLAN_READY: Payload('A plan was worked out; nothing was changed.', {
    runId: Id('The plan.'),
    counts: Type.Array(
      Type.Object({
        entity: OneOf(changeEntities, 'The kind of record.'),
        kind: OneOf(changeKinds, 'What would happen to them.'),
        clientRef: Nullable(Id('Whose they would be.')),
        count: Count('How many.')
      }),
      { description: 'How many changes it found, by kind and client.' }
    ),
    warnings: Type.Array(Type.Object({ code: Text('Stable code.'), message: Text('What it is about.') }), {
      description: 'What should be read before it is applied.'
    }),
    summary: Nullable(Text('One sentence that says what it found.')),
    expiresAt: Nullable(Time('Until when it can be applied.'))
  }),
  RMM_SYNC_FAILED: Payload('A run read nothing to its end, or was cancelled.', syncEnded),
  RMM_DEVICE_CREATED: Payload(
    'A device is in the inventory for the first time, or again; whether it belongs to a client or not.',
    device
  ),
  RMM_DEVICE_UPDATED: Payload('A device changed or belongs to another client; heartbeats are no change.', {
    ...device,
    changedFields: Type.Array(Type.String(), {
      description:
        'Names of the fields that changed, as in the device; `GET /devices/:id/changes` has before and after.'
    })
  }),
  RMM_DEVICE_REMOVED: Payload('The platform no longer has a device.', device),
  RMM_OUT_OF_SIGHT: Payload(
    'The account no longer sees some groups or devices. Whether they are gone nobody has said: they keep their client and asset, and come back when they are seen.',
    {
      organizations: Count('Groups that went out of sight.'),
      devices: Count('Devices that went out of sight.'),
      groups: Type.Array(Text(''), { description: 'Names of the groups concerned, 50 at most.' }),
      sample: Type.Array(
        Type.Object({
          deviceId: Id('Our id of the device.'),
          externalId: Id("The platform's id of it."),
          displayName: Text('Its name.'),
          clientRef: Nullable(Id('The client it belongs to.'))
        }),
        { description: 'Some of the devices, 10 at most.' }
      )
    }
  ),
  RMM_ALERT_TRIGGERED: Payload('An alert was raised.', alert),
  RMM_ALERT_RESOLVED: Payload('An alert is over.', alert),
  RMM_WEBHOOK_RECEIVED: Payload('A delivery of a platform was stored; what it meant follows as events of its own.', {
    deliveryId: Id('The stored delivery.'),
    eventId: Id("The platform's id of the event, or one made from what it is about."),
    eventType: Text("The platform's word for it."),
    hints: Type.Array(
      Type.Object({
        resource: OneOf(resourceNames, 'The kind of record.'),
        externalId: Id("The platform's id of it."),
        kind: Type.Optional(OneOf(['changed', 'deleted', 'heartbeat'], 'What is said to have happened.'))
      }),
      { description: 'What will be read again.' }
    )
  }),
  RMM_DEVICE_GROUP_CREATED: Payload('A device group was made for a client.', deviceGroup),
  RMM_DEVICE_GROUP_LINKED: Payload('A group that was there became the group of a client.', deviceGroup),
  RMM_DEVICE_GROUP_RENAMED: Payload("A client's group got the client's new name.", deviceGroup),
  RMM_REMOTE_SESSION_STARTED: Payload('Somebody was given a link to the screen of a device.', {
    deviceId: Id('Our id of the device.'),
    externalId: Id("The platform's id of it."),
    viewOnly: Flag('Whether it only shows.'),
    consent: Nullable(
      OneOf(
        ['none', 'notify', 'prompt'],
        'What the person at the device was to be asked; null: what the platform is set to.'
      )
    ),
    expiresAt: Time('When the link ends.')
  }),
  RMM_INSTALL_LINK_CREATED: Payload('Somebody was given a link that installs agents into the group of a client.', {
    clientRef: Id('The client.'),
    groupId: Id("The platform's id of its group."),
    expiresAt: Time('When the link ends.')
  }),
  RMM_CONNECTION_CHANGED: Payload('Somebody changed a connection: names of what changed, never values of secrets.', {
    name: Text('Its name, now.'),
    changedFields: Type.Array(Type.String(), {
      description: '`name`, `config.url`, `secrets`, `schedule.enabled`, `movePolicy`, `webhookSecret` and the like.'
    })
  }),
  RMM_MAPPING_CHANGED: Payload(
    'Somebody mapped an organization anew; what its devices do is told as events of theirs.',
    {
      organizationId: Id('Our id of the organization.'),
      externalId: Id("The platform's id of it."),
      name: Text("The platform's name for it."),
      from: mapping('What it was before.'),
      to: mapping('What it is now.')
    }
  ),
  RMM_DATA_ERASED: Payload('Somebody had the data of devices erased: whoever keeps something of them parts with it.', {
    deviceIds: Type.Array(Id(''), { description: 'Our ids of the devices, 500 at most; more come in further events.' }),
    clientRef: Nullable(Id('The client whose devices they were, where a client was erased.'))
  }),
  RMM_MAPPING_BROKEN: Payload(
    'The directory no longer has clients that organizations are mapped to. Their devices stay where they are, and the host is not told of them until they are mapped anew or the client is back.',
    {
      count: Count('Mappings that are broken since.'),
      organizations: Type.Array(
        Type.Object({
          organizationId: Id('Our id of the organization.'),
          externalId: Id("The platform's id of it."),
          name: Text("The platform's name for it."),
          clientRef: Id('The client that is gone.')
        }),
        { description: 'Which, 50 at most.' }
      )
    }
  ),
  INTEGRATION_CONNECTED: Payload('A connection was made, or made again after it was disconnected.', {
    name: Text('Its name.'),
    account: Nullable(Text('The account, as the platform names it.'))
  }),
  INTEGRATION_DISCONNECTED: Payload('A connection was removed.', {
    name: Text('Its name.'),
    mode: OneOf(['keep', 'purge'], '`keep`: its devices and mappings stay. `purge`: everything of it went.')
  })
}

export type RmmEventType = keyof typeof eventPayloads
export const eventTypes = Object.keys(eventPayloads) as readonly RmmEventType[]

/** What each type of event carries. */
export type EventPayloads = { [T in RmmEventType]: Static<(typeof eventPayloads)[T]> }

/** The person behind a request, as the host names them. */
export interface Actor {
  id: string
  /** Null where the host told none. */
  name: string | null
}

interface Envelope {
  /** Stable across redeliveries: consumers de-duplicate by it. */
  id: string
  tenantId: string
  connectionId: string
  provider: string
  occurredAt: string
  /**
   * Who did it, or asked for the run it is about; null where the platform or the engine did, or the host does not tell.
   */
  actor: Actor | null
}

/**
 * One event, its payload known by its `type`. Payloads may gain fields in later versions: what is not typed here is
 * `unknown`.
 */
export type RmmEvent<T extends RmmEventType = RmmEventType> = {
  [K in T]: Envelope & { type: K; payload: EventPayloads[K] & Record<string, unknown> }
}[T]

/** An event before it is written. */
export type NewEvent = {
  [K in RmmEventType]: {
    type: K
    payload: EventPayloads[K]
    /** Makes the event happen at most once, e.g. one end per run. */
    key?: string
    /** Default: who is behind the transaction. */
    actor?: Actor | null
  }
}[RmmEventType]
