import { Type } from '@sinclair/typebox'
import { countedPaging, Id, Input, NullableText, NullableTime, OneOf, Text, Time } from './atoms.ts'

const severities = ['critical', 'major', 'moderate', 'minor'] as const
const statuses = ['active', 'resolved'] as const

export const AlertSchema = Type.Object(
  {
    id: Text('Opaque id.'),
    connectionId: Text('The connection it came by.'),
    externalId: Text("The platform's id."),
    deviceId: NullableText('Our id of the device, where it is in the inventory.'),
    deviceExternalId: NullableText("The platform's id of the device."),
    deviceName: NullableText('The name of the device, where it is in the inventory.'),
    clientRef: NullableText('The client of that device.'),
    assetRef: NullableText("The host's asset that the device is linked to."),
    assignment: OneOf(['mapped', 'unmapped', 'excluded', 'none'], 'Whose the device is; none: no known device.'),
    origin: OneOf(
      ['webhook', 'sweep', 'backfill'],
      'How it came to be known; backfill: it was there before the first complete read of alerts.'
    ),
    name: Text('What it is about.'),
    description: NullableText('More about it.'),
    severity: OneOf(severities, 'How bad it is, the same words for every platform.'),
    providerSeverity: NullableText("The platform's own word."),
    status: OneOf(statuses, 'Whether it still holds.'),
    startedAt: Time('When it began.'),
    resolvedAt: NullableTime('When it ended.')
  },
  { $id: 'RmmAlert', title: 'RmmAlert', description: 'Something the platform warns about' }
)

export const AlertParams = Input({ alertId: Id('The alert.') })

export const AlertQuery = Input({
  ...countedPaging,
  connectionId: Type.Optional(Id('Only alerts of this connection.')),
  deviceId: Type.Optional(Id('Only alerts of this device (our id).')),
  status: Type.Optional(OneOf(statuses, 'Only active or only resolved ones.')),
  severity: Type.Optional(OneOf(severities, 'Only alerts of this severity.'))
})
