import { Type } from '@sinclair/typebox'
import { changeCauses, changeEntities, changeKinds, changeStates } from '../../words.ts'
import { countedPaging, Id, Input, NullableActor, NullableText, OneOf, Text, Time } from './atoms.ts'

export const ChangeSchema = Type.Object(
  {
    id: Text('Opaque id.'),
    runId: NullableText(
      'The run that did it; of a mapping change the id under which it is listed and undone; null for single reads.'
    ),
    connectionId: Text('The connection it came by.'),
    cause: OneOf(changeCauses, 'What made it: a run, a webhook or push, a mapping, a person.'),
    entity: OneOf(changeEntities, 'The kind of record.'),
    entityId: NullableText('Our id of the record; null while it is only planned.'),
    externalId: NullableText("The platform's id of it."),
    displayName: NullableText('Its name.'),
    clientRef: NullableText('The client it belongs to by this change.'),
    kind: OneOf(changeKinds, 'What happened. move: to another client, or to none.'),
    changed: Type.Array(
      Type.Object({
        field: Text('The field, as in the record.'),
        from: Type.Unsafe<unknown>({ description: 'Its value before; null where there was none.' }),
        to: Type.Unsafe<unknown>({ description: 'Its value since.' })
      }),
      { description: 'Fields that differ; empty for what came or went whole.' }
    ),
    state: OneOf(
      changeStates,
      'planned and held wait for a person; stale and skipped were not done, see reason; undone was taken back.'
    ),
    reason: NullableText('Why it is held or was not done.'),
    actor: NullableActor('Who did it; null where no person did, or the host does not tell.'),
    at: Time('When it happened.')
  },
  { $id: 'RmmChange', title: 'RmmChange', description: 'One thing that happened, or is planned or held, to one record' }
)

export const ChangeQuery = Input({
  ...countedPaging,
  kind: Type.Optional(OneOf(changeKinds, 'Only changes of this kind.')),
  state: Type.Optional(OneOf(changeStates, 'Only changes in this state.')),
  entity: Type.Optional(OneOf(changeEntities, 'Only changes of this kind of record.')),
  clientRef: Type.Optional(Id('Only changes of this client.'))
})
