import { Type } from '@sinclair/typebox'
import {
  Count,
  Flag,
  Id,
  Input,
  Nullable,
  NullableText,
  NullableTime,
  OneOf,
  OpenObject,
  countedPaging,
  ref,
  Text,
  Time
} from './atoms.ts'

const minutes = {
  every: { minimum: 15, maximum: 1440, description: 'Minutes between two scheduled syncs.' },
  full: {
    minimum: 15,
    maximum: 43_200,
    description: 'Minutes between two full reads, at least everyMinutes; those in between are incremental.'
  }
}
const schedule = {
  enabled: Flag('Whether syncs are started by the schedule.'),
  everyMinutes: Type.Integer(minutes.every),
  fullEveryMinutes: Type.Integer(minutes.full)
}
const ScheduleInput = Type.Partial(
  Input(schedule, { description: 'When to sync by itself. What is left out keeps its value.' })
)
const movePolicy = OneOf(
  ['follow', 'hold'],
  'A device that the platform moved under another client: follow it, or keep the old client and report.'
)

export const ConnectionSchema = Type.Object(
  {
    id: Text('Opaque id.'),
    provider: Text('The provider id.'),
    name: Text('The name an operator gave it.'),
    config: OpenObject("As the provider's configSchema describes it. Never holds secrets."),
    status: OneOf(
      ['connected', 'error', 'disconnected'],
      'Whether the platform takes our secrets; disconnected: they were removed.'
    ),
    statusReason: NullableText('Why it is not connected, and what to do.'),
    account: NullableText('The account as the platform names it.'),
    connectedAt: NullableTime('When the secrets were first accepted.'),
    lastSyncAt: NullableTime('End of the last run that succeeded, if only in part.'),
    lastFullSyncAt: NullableTime('When the oldest page of the last full run was read that succeeded.'),
    lastScheduledSyncAt: NullableTime('When the schedule last started a run.'),
    syncStatus: OneOf(
      ['idle', 'queued', 'running', 'completed', 'failed'],
      'The state of the latest run; one that was partial is completed, and syncError names what failed.'
    ),
    syncError: NullableText('Why the latest run failed, or failed in part.'),
    schedule: Type.Object(schedule, { description: 'When it syncs by itself.' }),
    movePolicy,
    live: Nullable(
      Type.Object({
        since: NullableTime('Since when pushes arrive; null while they do not.'),
        lastError: NullableText('Why they do not.')
      }),
      {
        description: "Whether the platform's pushes arrive; null where it has none, or the connection is disconnected."
      }
    ),
    mappingStatus: OneOf(['ok', 'broken'], 'broken: organizations are mapped to clients that are gone; see counts.'),
    counts: Type.Object(
      {
        organizations: Count('Organizations on the platform.'),
        mappedOrganizations: Count('Of these, mapped to a client themselves.'),
        devices: Count('Devices in the inventory.'),
        mappedDevices: Count('Of these, belonging to a client.'),
        unmappedDevices: Count('Of these, belonging to none.'),
        onlineDevices: Count('Of these, online when last looked at.'),
        activeAlerts: Count('Alerts that are not resolved.'),
        brokenMappings: Count('Organizations mapped to a client that the directory no longer has.')
      },
      { description: 'Counted in our tables, without a call to the platform.' }
    )
  },
  {
    $id: 'RmmConnection',
    title: 'RmmConnection',
    description: "A tenant's account on a platform; its secrets are never shown"
  }
)

/** Only where the platform's API can set the webhook up. */
const registered = {
  registered: Type.Optional(Flag('Whether the webhook was set up on the platform, where its API can.')),
  message: Type.Optional(NullableText('Why it was not, and what to do.'))
}

export const WebhookSecretSchema = Type.Object(
  {
    url: Text('The address to give to the platform.'),
    secret: Text('The signing secret, shown this once.'),
    ...registered
  },
  { description: 'What the operator pastes into the platform' }
)

const input = {
  name: Type.Optional(
    Type.String({ minLength: 1, maxLength: 200, description: "A name for operators. Default: the provider's name." })
  ),
  config: Type.Optional(OpenObject("As the provider's configSchema describes it.")),
  schedule: Type.Optional(ScheduleInput),
  movePolicy: Type.Optional(movePolicy),
  allowDuplicate: Type.Optional(
    Flag('Connect an account that another connection has already, with every device twice. Default: refused with 409.')
  )
}
const secrets = OpenObject("As the provider's secretSchema describes it. Sealed at once, never shown again.")

export const CreateConnectionSchema = Input({ provider: Id('The provider id.'), secrets, ...input })
export const UpdateConnectionSchema = Input({ secrets: Type.Optional(secrets), ...input })

export const CreatedConnectionSchema = Type.Object(
  {
    connection: ref(ConnectionSchema),
    webhook: Nullable(
      Type.Object({
        url: NullableText('The address to give to the platform; null where the host has set no publicUrl.'),
        secret: Text('The signing secret, shown this once.'),
        ...registered
      }),
      { description: 'What the operator pastes into the platform; null where the provider has no webhooks.' }
    ),
    warnings: Type.Array(Type.String(), { description: 'What works but should be looked at, e.g. missing rights.' })
  },
  { description: 'Stored, after the platform accepted the secrets' }
)

export const ConnectionTestSchema = Type.Object(
  {
    ok: Type.Literal(true),
    account: Text('The account as the platform names it.'),
    checkedAt: Time('When the platform answered.'),
    warnings: Type.Array(Type.String(), { description: 'What works but should be looked at, e.g. missing rights.' })
  },
  { description: 'The platform accepts the stored secrets' }
)

export const ConnectionQuery = Input({
  ...countedPaging,
  provider: Type.Optional(Id('Only connections of this provider.'))
})
export const RemoveQuery = Input({
  mode: Type.Optional(
    OneOf(['keep', 'purge'], 'keep: secrets removed, mappings and devices stay. purge: everything of it goes.', {
      default: 'keep'
    })
  )
})
