import { Type } from '@sinclair/typebox'
import { Count, Flag, Id, Input, Nullable, NullableText, NullableTime, OneOf, Text, Time } from './atoms.ts'

export const WebhookInfoSchema = Type.Object(
  {
    url: Text('The address to give to the platform.'),
    signatureHeader: NullableText('The header that carries the signature of the body.'),
    secretHeader: NullableText('The header that carries the secret itself, for platforms that cannot sign.'),
    events: Type.Array(Type.String(), { description: 'What to subscribe to on the platform.' }),
    payloadTemplate: Nullable(Type.Record(Type.String(), Type.String()), {
      description: 'The body to configure where the platform lets one write it.'
    }),
    templateInputs: Type.Array(
      Type.Object({
        field: Text("The template's field."),
        label: Text('What to write there.'),
        choices: Nullable(Type.Array(Type.String()), { description: 'What may be chosen; null: any text.' })
      }),
      { description: 'What of the template the operator writes.' }
    ),
    instructions: Type.Array(Type.String(), { description: 'What to do on the platform, step by step.' }),
    hasSecret: Flag('Whether a secret is set; without one everything is refused.'),
    lastDeliveryAt: NullableTime('When the platform last called.')
  },
  { description: 'How to set the webhook up; the secret is not shown' }
)

export const RotateSchema = Input({
  graceMinutes: Type.Optional(
    Type.Integer({ minimum: 0, maximum: 10_080, default: 60, description: 'How long the old secret stays valid.' })
  )
})

export const DeliverySchema = Type.Object(
  {
    id: Text('Opaque id.'),
    connectionId: Text('The connection it came for.'),
    eventId: Text('What makes two deliveries the same.'),
    eventType: Text("The platform's word for what happened."),
    status: OneOf(
      ['pending', 'done', 'ignored', 'unusable', 'dead'],
      'ignored: nothing of ours. unusable: it could not be used, lastError says why. dead: given up after several attempts.'
    ),
    attempts: Count('How often it was worked on.'),
    lastError: NullableText('Why the last attempt failed, and at what; or why it could not be used.'),
    receivedAt: Time('When it came.'),
    processedAt: NullableTime('When it was done with.')
  },
  { $id: 'RmmDelivery', title: 'RmmDelivery', description: 'A stored inbound request; its body is not shown' }
)

export const DeliveryParams = Input({ deliveryId: Id('The delivery.') })

export const AcceptedSchema = Type.Object({ accepted: Type.Literal(true) }, { description: 'Stored and queued' })
export const DuplicateSchema = Type.Union(
  [Type.Object({ duplicate: Type.Literal(true) }), Type.Object({ accepted: Type.Literal(true) })],
  {
    description:
      'Nothing to do: known already (duplicate), or stored but nothing follows: a type that is not known, or nothing that can be used (accepted)'
  }
)

/** Any text: a key that cannot be one is refused like one that is not known. */
export const HookParams = Type.Object({ hookKey: Text("The random key in the webhook's address.") })
