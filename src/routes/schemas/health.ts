import { Type } from '@sinclair/typebox'
import { Count, Flag, Nullable, Text } from './atoms.ts'

const Age = (description: string) => Nullable(Type.Number({ minimum: 0, description }))

const SinkHealthSchema = Type.Object({
  name: Text('Identifies the sink.'),
  pending: Count("Events of the tenant's that it has not taken."),
  oldestMs: Age('Age of the oldest of them, in milliseconds; null where there is none.'),
  failures: Count('Attempts that failed since the last that took something.'),
  served: Flag(
    'Whether a process takes events to it; what waits for one that was taken away waits until it is dropped.'
  )
})

export const HealthSchema = Type.Object(
  {
    ok: Flag('Whether none of the below needs a person: nothing is late, stuck, dead, failing or in error.'),
    schedules: Type.Object({
      late: Count('Connections whose sync was due a while ago and was not started.'),
      oldestMs: Age('How long the one that waits longest is overdue, in milliseconds; null where none is late.')
    }),
    runs: Type.Object({
      waiting: Count('Queued or interrupted: somebody will take them up.'),
      stuck: Count('Nobody works on them although somebody should.')
    }),
    deliveries: Type.Object({
      pending: Count('Webhooks that wait to be worked on.'),
      dead: Count('Webhooks that were given up; they can be replayed.'),
      oldestMs: Age('Age of the oldest that waits, in milliseconds; null where none does.')
    }),
    sinks: Type.Array(SinkHealthSchema, { description: 'Where events go, and what waits for it.' }),
    connections: Type.Object({ error: Count('Connections whose status is error.') }),
    keys: Type.Object({
      missing: Type.Array(
        Type.Object({
          keyId: Nullable(Text('Names the key; null where the secret box does not tell.')),
          values: Count('Stored values that need it.')
        }),
        { description: 'Keys that stored secrets were sealed with and that the secret box does not have.' }
      )
    })
  },
  { title: 'RmmHealth', description: 'What waits, is late or failed' }
)
