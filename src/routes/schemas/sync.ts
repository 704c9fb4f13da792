import { Type } from '@sinclair/typebox'
import { changeEntities, changeKinds, resourceNames, runKinds, runStatuses } from '../../words.ts'
import {
  connectionParams,
  Count,
  Flag,
  Id,
  Input,
  Nullable,
  NullableActor,
  NullableText,
  NullableTime,
  OneOf,
  countedPaging,
  ref,
  Text,
  Time
} from './atoms.ts'
import { DeviceDetailSchema } from './inventory.ts'

const Resource = OneOf(resourceNames, 'A kind of record that is read from the platform.')
const modes = ['full', 'incremental'] as const
const outcomes = ['failed', 'held', 'ambiguous', 'skipped'] as const

const FailureSchema = Type.Object({ code: Text('Stable code.'), message: Text('What went wrong and what to do.') })

export const RunSchema = Type.Object(
  {
    id: Text('Opaque id.'),
    connectionId: Text('The connection it reads.'),
    kind: OneOf(runKinds, 'What it does.'),
    trigger: OneOf(['manual', 'schedule', 'webhook', 'startup'], 'What started it.'),
    actor: NullableActor('Who asked for it; null where no person did, or the host does not tell.'),
    resources: Type.Array(Resource, { description: 'What it reads.' }),
    mode: OneOf(modes, 'full: everything, and what is gone is removed. incremental: what changed.'),
    transport: Text('Where it executes.'),
    status: OneOf(
      runStatuses,
      'interrupted runs are resumed from their last page. partial: some resources were read, others failed; see progress.'
    ),
    queuedAt: Time('When it was asked for.'),
    startedAt: NullableTime('When the first attempt began.'),
    finishedAt: NullableTime('When it ended.'),
    progress: Type.Array(
      Type.Object({
        resource: Resource,
        pages: Count('Pages committed.'),
        processed: Count('Records on them.'),
        complete: Flag('Whether the list was read to its end.'),
        status: OneOf(
          ['waiting', 'reading', 'complete', 'failed', 'skipped'],
          'failed: it is read again while the run goes on. skipped: the account lacks it, or the run ended before.'
        ),
        error: Nullable(FailureSchema, { title: 'RmmFailureOrNull', description: 'Why it failed or was skipped.' })
      }),
      { description: 'Per resource, in the order of reading.' }
    ),
    totals: Type.Object(
      {
        created: Count('New records.'),
        updated: Count('Records that changed.'),
        unchanged: Count('Records that did not.'),
        removed: Count('Records that are gone.'),
        unmapped: Count('Devices that belong to no client.'),
        failed: Count("Records that could not be taken; see the run's items."),
        handedOver: Type.Optional(Count('Known devices that were given to the host again; where any were.'))
      },
      { description: 'Over all resources.' }
    ),
    summary: NullableText('One sentence that tells "nothing changed", "nothing mapped" and "nothing came" apart.'),
    error: Nullable(FailureSchema, { description: 'Why it failed; of a partial run, what failed and why.' }),
    continuedFrom: NullableTime('When the earlier run began whose place this one went on from; null for a fresh read.'),
    plan: Nullable(
      Type.Object({
        counts: Type.Array(
          Type.Object({
            entity: OneOf(changeEntities, 'The kind of record.'),
            kind: OneOf(changeKinds, 'What would happen to them.'),
            clientRef: NullableText('Whose they would be.'),
            count: Count('How many.')
          }),
          { description: 'How many changes it found, by kind and client.' }
        ),
        warnings: Type.Array(FailureSchema, { description: 'What should be read before it is applied.' }),
        expiresAt: Time('Until when it can be applied.')
      }),
      { title: 'RmmPlanOrNull', description: 'What a plan found; null of every other run.' }
    )
  },
  { $id: 'RmmRun', title: 'RmmRun', description: 'One recorded sync' }
)

export const RunItemSchema = Type.Object(
  {
    resource: Text('The kind of record.'),
    externalId: NullableText("The platform's id, where it has one."),
    outcome: OneOf(
      outcomes,
      'failed: could not be taken. held: kept with its old client. ambiguous: fits several. skipped: left out on purpose.'
    ),
    reason: Text('Why.')
  },
  { $id: 'RmmRunItem', title: 'RmmRunItem', description: 'A record that a run did not simply take' }
)

export const SyncRequestSchema = Input({
  resources: Type.Optional(
    Type.Array(Resource, { minItems: 1, uniqueItems: true, description: 'What to read. Default: all.' })
  ),
  mode: Type.Optional(OneOf(modes, 'full reads everything, incremental what changed.', { default: 'full' })),
  force: Type.Optional(Flag('Confirms a mass removal that was refused before.', { default: false })),
  plan: Type.Optional(Flag('Read and compare, and write nothing but what would change.'))
})

export const HandOverSchema = Input({
  clientRef: Type.Optional(Id('Only devices of this client.')),
  deviceIds: Type.Optional(
    Type.Array(Id('A device.'), { minItems: 1, maxItems: 5000, uniqueItems: true, description: 'Only these devices.' })
  ),
  onlyWithoutAsset: Type.Optional(Flag('Only devices that the host named no asset for.', { default: false }))
})

const ChangeIds = (description: string) =>
  Type.Optional(Type.Array(Id('A change.'), { minItems: 1, maxItems: 20_000, uniqueItems: true, description }))

export const ApplySchema = Input({
  only: ChangeIds('Only these changes of the plan.'),
  except: ChangeIds('All changes of the plan but these.')
})

export const BegunSchema = Type.Object({ run: ref(RunSchema) }, { description: 'Queued' })

export const StartedSchema = Type.Object(
  {
    run: ref(RunSchema),
    deduplicated: Flag('True where an active run was found and none was started.')
  },
  { description: 'Queued; nothing has been read yet' }
)

export const DeviceSyncSchema = Type.Object(
  {
    outcome: OneOf(['created', 'updated', 'unchanged', 'unmapped', 'removed'], 'What the read did to the device.'),
    device: Nullable(DeviceDetailSchema, {
      title: 'RmmDeviceDetailOrNull',
      description: 'The device now; null where the platform and we do not have it.'
    })
  },
  { description: 'The device was read again' }
)

export const RunParams = Input({ runId: Id('The run.') })
export const ExternalDeviceParams = Input({ ...connectionParams, externalId: Id("The platform's id of the device.") })
export const RunQuery = Input({
  ...countedPaging,
  connectionId: Type.Optional(Id('Only runs of this connection.')),
  status: Type.Optional(OneOf(runStatuses, 'Only runs in this state.')),
  kind: Type.Optional(OneOf(runKinds, 'Only runs of this kind.'))
})
export const RunItemQuery = Input({
  ...countedPaging,
  outcome: Type.Optional(OneOf(outcomes, 'Only items with this outcome.'))
})
