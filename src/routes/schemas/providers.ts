import { Type } from '@sinclair/typebox'
import { Flag, NullableText, OpenObject, Text } from './atoms.ts'

const JsonSchema = (description: string) => Type.Unsafe<object>(OpenObject(description))

export const CapabilitiesSchema = Type.Object(
  {
    connection: Flag('Connections can be made and checked.'),
    scopeSync: Flag('Organizations are read.'),
    deviceSync: Flag('Devices are read.'),
    patchSync: Flag('Missing updates are read.'),
    alertSync: Flag('Alerts are read.'),
    alertResolve: Flag('Alerts can be resolved on the platform.'),
    deviceGroups: Flag('Groups for clients can be made on the platform.'),
    events: Flag('The platform tells us of changes, by webhook or push.'),
    remoteSessions: Flag('Remote sessions can be opened.'),
    remoteActions: Flag('Other actions on devices are possible.')
  },
  { description: 'What the provider can do.' }
)

export const ProviderSchema = Type.Object(
  {
    id: Text('The provider id, as connections name it.'),
    name: Text("The platform's name."),
    description: Text('One sentence about the platform.'),
    icon: NullableText('Its sign: an SVG as a data URI.'),
    homepage: NullableText("The platform's own site."),
    docsUrl: NullableText('Where its set-up is described.'),
    capabilities: CapabilitiesSchema,
    configSchema: JsonSchema("JSON Schema of a connection's config; the form is drawn from it."),
    secretSchema: JsonSchema("JSON Schema of a connection's secrets; the form is drawn from it.")
  },
  { $id: 'RmmProvider', title: 'RmmProvider', description: 'A platform that connections can be made to' }
)

export const ProvidersSchema = Type.Object(
  {
    items: Type.Array(Type.Unsafe<typeof ProviderSchema.static>({ $ref: 'RmmProvider#' }), { description: 'By name.' })
  },
  { description: 'The providers available to the tenant' }
)
