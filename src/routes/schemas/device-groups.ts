import { Type } from '@sinclair/typebox'
import { connectionParams, Count, Flag, Id, Input, NullableText, OneOf, Text } from './atoms.ts'

export const DeviceGroupSyncRequest = Input({
  dryRun: Type.Optional(Flag('Only say what would be done.', { default: false })),
  rename: Type.Optional(Flag('Give groups of renamed clients their new name.', { default: false }))
})

const dryRun = { dryRun: Type.Optional(Flag('Only say what would be done.', { default: false })) }
const groupId = { groupId: Id("The platform's id of the group.") }

export const AssignRequest = Input({ ...groupId, ...dryRun })
export const ImportRequest = Input({
  links: Type.Array(Input({ clientRef: Id('The client.'), ...groupId }), {
    minItems: 1,
    maxItems: 5000,
    description: 'Which group is whose; every client and every group once.'
  }),
  ...dryRun
})

const shared = { clientRef: Text('The client.'), name: Text("The group's name.") }

export const DeviceGroupSyncSchema = Type.Object(
  {
    success: Flag('False where at least one client failed or is in conflict.'),
    message: Text('What happened, in one sentence.'),
    totalClients: Count('Clients in the directory.'),
    created: Count('Groups made.'),
    linked: Count('Groups found on the platform and taken over.'),
    existing: Count('Groups that were linked already.'),
    renamed: Count('Groups renamed.'),
    conflicts: Count('Clients that several groups fit, or whose group another client holds.'),
    failed: Count('Clients whose group could not be made.'),
    results: Type.Array(
      Type.Object({
        ...shared,
        clientName: Text("The client's name."),
        groupName: NullableText("The group's name, as it is or would be after this; null where there is none."),
        groupId: NullableText("The platform's id of the group."),
        outcome: OneOf(
          ['created', 'linked', 'existing', 'renamed', 'conflict', 'failed'],
          'What happened for this client.'
        ),
        error: Type.Optional(Text('Why not, where it did not work.'))
      }),
      { description: "One per client; one client's failure is its own." }
    )
  },
  { description: 'What was done, client by client' }
)

export const DeviceGroupEnsuredSchema = Type.Object(
  {
    success: Flag('The client has its group.'),
    ...shared,
    groupId: Text("The platform's id of the group."),
    created: Flag('It was made now.'),
    linked: Flag('It was found and taken over now.'),
    message: Text('What happened, in one sentence.')
  },
  { description: 'The client has its group' }
)

export const DeviceGroupStatusSchema = Type.Object(
  {
    success: Flag('The state of every client is told; `source` says from where.'),
    source: OneOf(
      ['platform', 'stored'],
      'platform: as it is there now. stored: the platform did not answer, this is what is known from before.'
    ),
    message: NullableText('Why the platform did not answer.'),
    totalClients: Count('Clients in the directory.'),
    needsSync: Count('Clients with something to do.'),
    clients: Type.Array(
      Type.Object({
        ...shared,
        clientName: Text("The client's name."),
        hasGroup: Flag('A group is linked here.'),
        groupId: NullableText("The platform's id of it."),
        groupName: NullableText('Its name on the platform.'),
        groupExists: Flag('It still exists on the platform.'),
        setupComplete: Flag('Linked, there and rightly named.'),
        linkedDevices: Count('Devices in it.'),
        needsSync: Flag('Something is to do.'),
        drift: NullableText('What differs between here and the platform.')
      }),
      { description: 'One per client.' }
    ),
    orphans: Type.Array(
      Type.Object({
        groupId: Text("The platform's id of the group."),
        groupName: Text('Its name on the platform.'),
        clientRef: Text('The client that is gone from the directory.'),
        reason: Text("Why it is nobody else's, and what to do.")
      }),
      { description: 'Groups that are held by clients which the directory no longer knows.' }
    )
  },
  { description: 'Every client and its group' }
)

export const ClientParams = Input({ ...connectionParams, clientRef: Id('The client.') })

export const InstallLinkSchema = Input({
  hours: Type.Optional(
    Type.Integer({ minimum: 1, maximum: 8760, description: "How long the link works. Default: the provider's." })
  )
})
