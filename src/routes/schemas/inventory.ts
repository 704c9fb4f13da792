import { Type } from '@sinclair/typebox'
import { deviceSorts } from '../../types.ts'
import { deviceKinds } from '../../words.ts'
import {
  countedPaging,
  Flag,
  Id,
  Input,
  Nullable,
  NullableInteger,
  NullableNumber,
  NullableText,
  NullableTime,
  OneOf,
  OpenObject,
  Text,
  Time
} from './atoms.ts'

const device = {
  id: Text('Opaque id.'),
  connectionId: Text('The connection it came by.'),
  provider: Text('The provider id.'),
  externalId: Text("The platform's id."),
  organizationExternalId: NullableText("The platform's id of the organization it is in."),
  clientRef: NullableText('The client it belongs to; null while unmapped.'),
  assetRef: NullableText("The host's asset it is linked to."),
  assetType: OneOf(['workstation', 'server'], 'Whether it counts as a workstation or a server.'),
  kind: OneOf(deviceKinds, 'What it is.'),
  displayName: Text('The name to show.'),
  hostname: NullableText('The name the device gives itself.'),
  serialNumber: NullableText("The manufacturer's serial number."),
  manufacturer: NullableText('The manufacturer.'),
  model: NullableText('The model.'),
  osType: NullableText('The family of its operating system.'),
  osVersion: NullableText('Name and version of its operating system.'),
  online: Flag('Whether it was online when last looked at.'),
  agentStatus: OneOf(['online', 'offline'], 'The same, in words.'),
  lastSeenAt: NullableTime('When the platform last heard of it.'),
  lastRebootAt: NullableTime('When it last started.'),
  uptimeSeconds: NullableInteger('Seconds since then; null while offline.'),
  currentUser: NullableText('Who is or was last logged in.'),
  lanIp: NullableText('Its private address.'),
  wanIp: NullableText('The public address it comes from.'),
  macAddresses: Type.Array(Type.String(), { description: 'Hardware addresses of its interfaces.' }),
  cpuModel: NullableText('The processor.'),
  cpuCores: NullableInteger('Cores of all processors.'),
  ramBytes: NullableInteger('Memory in bytes.'),
  volumes: Type.Array(
    Type.Object({
      name: Text('Mount point or label.'),
      totalBytes: NullableInteger('Size in bytes.'),
      freeBytes: NullableInteger('Free space in bytes.'),
      utilization: NullableNumber('Used share, 0 to 1.')
    }),
    { description: "Its disks' partitions." }
  ),
  antivirus: Type.Object(
    {
      provider: NullableText('The product.'),
      status: NullableText("Its state in the platform's words.")
    },
    { description: 'Protection against malware.' }
  ),
  pendingOsPatches: NullableInteger('Updates it lacks; null until they were read.'),
  location: NullableText('Where it is.'),
  tags: Type.Array(Type.String(), { description: 'Labels from the platform.' }),
  maintenanceMode: Flag('Whether the platform is told not to alert.'),
  removedAt: NullableTime('When the platform was found not to have it any more.'),
  outOfSightSince: NullableTime('Since when the account does not see it, which says nothing about whether it is gone.'),
  observedAt: Time('When the platform was last asked about it.'),
  updatedAt: Time('When its record last changed.')
}

export const DeviceSchema = Type.Object(device, {
  $id: 'RmmDevice',
  title: 'RmmDevice',
  description: 'A device in the inventory'
})

export const DeviceDetailSchema = Type.Object(
  {
    ...device,
    details: OpenObject('Platform facts without a field of their own.'),
    patches: Nullable(
      Type.Array(
        Type.Object({
          externalId: Text("The platform's id."),
          title: NullableText('What it is called.'),
          kb: NullableText("Number of the vendor's article about it."),
          severity: NullableText("The platform's word for how severe it is."),
          category: NullableText("The platform's word for what kind it is."),
          publishedAt: NullableTime('When it was published.')
        })
      ),
      { description: 'The updates it lacks; null where the platform does not tell which they are.' }
    )
  },
  { $id: 'RmmDeviceDetail', title: 'RmmDeviceDetail', description: 'A device with all its details' }
)

export const DeviceParams = Input({ deviceId: Id('The device.') })

export const DeviceQuery = Input({
  ...countedPaging,
  connectionId: Type.Optional(Id('Only devices of this connection.')),
  clientRef: Type.Optional(Id('Only devices of this client.')),
  online: Type.Optional(Flag('Only those online, or only those offline.')),
  mapped: Type.Optional(Flag('Only those that belong to a client, or only those that do not.')),
  removed: Type.Optional(
    OneOf(
      ['true', 'false', 'any'],
      'true: only those the platform no longer has; any: those as well. Living devices only where it is not given.'
    )
  ),
  provider: Type.Optional(Id('Only devices of this provider.')),
  externalId: Type.Optional(Id("Only devices with this id of the platform's.")),
  assetRef: Type.Optional(Id("Only devices linked to this asset of the host's.")),
  serialNumber: Type.Optional(Id('Only devices with this serial number, exactly.')),
  organizationExternalId: Type.Optional(Id("Only devices of this organization, by the platform's id.")),
  descendants: Type.Optional(Flag('With organizationExternalId: those of the organizations below it too.')),
  updatedSince: Type.Optional(
    Type.String({ format: 'date-time', description: 'Only those whose record changed at or after this time.' })
  ),
  sort: Type.Optional(
    OneOf(deviceSorts, 'name: from A to Z (default); a time: the newest first, devices without one last.')
  ),
  q: Type.Optional(Type.String({ maxLength: 200, description: 'Part of a name, serial number, address or user.' }))
})

export const RemoteSessionSchema = Input({
  minutes: Type.Optional(
    Type.Integer({ minimum: 1, maximum: 1440, description: "How long the link works. Default: the provider's." })
  ),
  viewOnly: Type.Optional(Flag('Watch without keyboard and mouse.')),
  consent: Type.Optional(
    OneOf(
      ['none', 'notify', 'prompt'],
      'What the person at the device is asked, at least: nothing, to be told, to agree. Default: what the platform is set to. 409 where the platform cannot promise it.'
    )
  )
})

/** A short-lived address: a remote session or an installer. */
export const LinkSchema = Type.Object(
  {
    url: Text('Whoever has it can use it; hand it on with care.'),
    expiresAt: Time('When it stops working.')
  },
  { description: 'A short-lived link' }
)
