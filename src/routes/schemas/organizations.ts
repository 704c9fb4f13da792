import { Type } from '@sinclair/typebox'
import {
  countedPaging,
  connectionParams,
  Count,
  Flag,
  Id,
  Input,
  NullableText,
  NullableTime,
  Nullable,
  OneOf,
  paging,
  ref,
  Text
} from './atoms.ts'

const modes = ['inherit', 'mapped', 'excluded'] as const
const Mode = OneOf(
  modes,
  'inherit: what its parent says. mapped: belongs to clientRef. excluded: its devices are left out.'
)
const ClientRef = Nullable(Type.String(), {
  minLength: 1,
  maxLength: 1000,
  description: "The client in the host's directory; needed where mode is mapped."
})

export const OrganizationSchema = Type.Object(
  {
    id: Text('Opaque id.'),
    externalId: Text("The platform's id."),
    name: Text("The platform's name for it."),
    parentExternalId: NullableText("The platform's id of its parent; null at the top."),
    path: Text('Names from the top down to it.'),
    depth: Count('0 at the top.'),
    deviceCount: Count('Devices directly in it.'),
    descendantDeviceCount: Count('Devices in it and below.'),
    mapping: Type.Object(
      {
        mode: Mode,
        clientRef: NullableText('The client it is mapped to itself.'),
        status: OneOf(
          ['ok', 'broken'],
          'broken: the directory no longer has the client; its devices stay and are not told.'
        ),
        by: Nullable(OneOf(['operator', 'device-group'], 'Who mapped it.'), {
          description: "A person, or we when it was linked as the client's device group; null while it inherits."
        })
      },
      { description: 'What an operator set.' }
    ),
    effectiveClientRef: NullableText('The client its devices belong to, inherited or its own.'),
    autoSync: Flag('Whether syncs read its devices.'),
    removedAt: NullableTime('When the platform was found not to have it any more.'),
    outOfSightSince: NullableTime(
      'Since when the account does not see it, which says nothing about whether it is gone.'
    )
  },
  {
    $id: 'RmmOrganization',
    title: 'RmmOrganization',
    description: "A platform's organization and what it is mapped to"
  }
)

export const OrganizationParams = Input({ ...connectionParams, organizationId: Id('The organization.') })

export const MappingChangeSchema = Input({
  mode: Type.Optional(Mode),
  clientRef: Type.Optional(ClientRef),
  autoSync: Type.Optional(Flag('Whether syncs read its devices.'))
})

export const MappingsSchema = Input({
  mappings: Type.Array(
    Input({
      organizationId: Id('The organization.'),
      mode: Mode,
      clientRef: Type.Optional(ClientRef)
    }),
    { minItems: 1, maxItems: 5000, description: 'All are applied or none.' }
  )
})

export const MoveMappingsSchema = Input({
  from: Id('The client that organizations are mapped to, gone from the directory or not.'),
  to: Id('The client they belong to from now on.')
})

export const MovedMappingsSchema = Type.Object(
  { organizations: Count('Organizations mapped anew.'), devices: Count('Devices that went with them.') },
  { description: 'Everything of the client went over' }
)

export const MappedSchema = Type.Object(
  {
    items: Type.Array(ref(OrganizationSchema), { description: 'The organizations that were named.' })
  },
  { description: 'The organizations after the change' }
)

export const SuggestionSchema = Type.Object(
  {
    organizationId: Text('The organization.'),
    clientRef: Text('The client it could belong to.'),
    clientName: Text("That client's name."),
    score: Type.Number({ minimum: 0, maximum: 1, description: '1 is the same name after normalising.' }),
    reason: Text('Why it is proposed.')
  },
  { $id: 'RmmMappingSuggestion', title: 'RmmMappingSuggestion', description: 'A proposal; nothing is applied' }
)

export const ClientSchema = Type.Object(
  {
    id: Text('The client as clientRef names it.'),
    name: Text('Its name in the host.')
  },
  { $id: 'RmmClient', title: 'RmmClient', description: 'A client of the host' }
)

export const CountedQuerySchema = Input(countedPaging)
export const PageQuerySchema = Input(paging)
export const ClientQuery = Input({
  ...paging,
  q: Type.Optional(Type.String({ maxLength: 200, description: 'Part of the name.' }))
})
