import { Type } from '@sinclair/typebox'
import type { ActivityType } from '../../types.ts'
import { countedPaging, Id, Input, NullableActor, Text, Time } from './atoms.ts'

const target = (description: string) => Type.Optional(Text(description))

export const ActivitySchema = Type.Object(
  {
    id: Text('Opaque id.'),
    at: Time('When it was done.'),
    actor: NullableActor('Who did it; null where no person did, or the host does not tell.'),
    type: Type.Unsafe<ActivityType>(Text('What was done: the type of its event, or a word of its own.')),
    target: Type.Object(
      {
        connectionId: target('The connection.'),
        organizationId: target('The organization.'),
        runId: target('The run.'),
        deviceId: target('The device.'),
        alertId: target('The alert.'),
        deliveryId: target('The delivery.'),
        clientRef: target('The client.')
      },
      { description: 'What it was done to.' }
    ),
    summary: Text('One sentence about it; names of what changed, never a secret.')
  },
  { $id: 'RmmActivity', title: 'RmmActivity', description: 'Something a person did, or the engine without being asked' }
)

export const ActivityQuery = Input({
  ...countedPaging,
  actor: Type.Optional(Id("Only what this person did (the host's id).")),
  type: Type.Optional(Type.String({ minLength: 1, maxLength: 100, description: 'Only what is of this type.' })),
  since: Type.Optional(
    Type.String({ format: 'date-time', description: 'Only what was done then or later. ISO 8601 with a zone.' })
  )
})
