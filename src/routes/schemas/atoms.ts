import { type SchemaOptions, type Static, type TObject, type TProperties, type TSchema, Type } from '@sinclair/typebox'

/** Options of one route: the parts every route repeats. */
export const tags = ['RMM']

/** An object that refuses fields it does not name: bodies, query strings and parameters. */
export const Input = <P extends TProperties>(properties: P, options: SchemaOptions = {}): TObject<P> =>
  Type.Object(properties, { ...options, additionalProperties: false })

/**
 * A value or null. Written as a list of types, because the serializer would validate every branch of an `anyOf` on
 * every answer. A shared `$id` is dropped: the nullable form is another schema.
 */
export function Nullable<S extends TSchema>(schema: S, options: SchemaOptions = {}) {
  const { $id: _, ...rest } = schema
  const words = schema['enum'] as unknown[] | undefined
  return Type.Unsafe<Static<S> | null>({
    ...rest,
    ...options,
    type: [schema['type'], 'null'],
    ...(words === undefined ? {} : { enum: [...words, null] })
  })
}

/** One of a closed list of words; an `enum` rather than a union, so that the refusal names the words. */
export const OneOf = <const W extends string>(words: readonly W[], description: string, options: SchemaOptions = {}) =>
  Type.Unsafe<W>({ type: 'string', enum: [...words], description, ...options })

/** An object whose fields are somebody else's: a provider's config, a platform's details. Passed as it is. */
export const OpenObject = (description: string) =>
  Type.Unsafe<Record<string, unknown>>({ type: 'object', additionalProperties: true, description })

/** A reference to a schema that `routes` registered under its `$id`. */
export const ref = <S extends TSchema>(schema: S, description = schema.description ?? schema.title ?? '') =>
  Type.Unsafe<Static<S>>({ $ref: `${schema.$id}#`, description })

export const Text = (description: string, options: SchemaOptions = {}) => Type.String({ ...options, description })
export const Count = (description: string) => Type.Integer({ minimum: 0, description })
export const Flag = (description: string, options: SchemaOptions = {}) => Type.Boolean({ ...options, description })
export const Time = (description: string) =>
  Type.String({ format: 'date-time', description: `${description} ISO 8601, UTC.` })
export const NullableText = (description: string) => Nullable(Type.String(), { description })
export const NullableNumber = (description: string) => Nullable(Type.Number(), { description })
export const NullableInteger = (description: string) => Nullable(Type.Integer(), { description })
export const NullableTime = (description: string) =>
  Nullable(Type.String(), { format: 'date-time', description: `${description} ISO 8601, UTC.` })

/** Who did it. */
export const NullableActor = (description: string) =>
  Nullable(
    Type.Object({
      id: Text("The host's id of the person."),
      name: NullableText('Their name; null where the host told none.')
    }),
    { title: 'RmmActorOrNull', description }
  )

/** An opaque id in a URL or filter. */
export const Id = (description: string) => Type.String({ minLength: 1, maxLength: 1000, description })

/** Paging of every list: spread into the query string's fields. */
export const paging = {
  limit: Type.Optional(
    Type.Integer({ minimum: 1, maximum: 200, default: 50, description: 'How many items to answer with at most.' })
  ),
  cursor: Type.Optional(
    Type.String({
      minLength: 1,
      maxLength: 2000,
      description: 'nextCursor of the page before; absent for the first page.'
    })
  )
}

/** Paging of lists that can be counted. */
export const countedPaging = {
  ...paging,
  total: Type.Optional(Flag('Also answer `total`, how many there are on all pages together.'))
}

/** `{ items, nextCursor }`. */
export const ListOf = <S extends TSchema>(item: S, description: string) =>
  Type.Object(
    {
      items: Type.Array(item, { description: 'In a stable order.' }),
      nextCursor: NullableText('Give it as cursor to get the next page; null on the last one.'),
      total: Type.Optional(Count('How many there are on all pages together; only where it was asked for.'))
    },
    { description }
  )

export const ErrorSchema = Type.Object(
  {
    statusCode: Type.Integer({ description: 'The HTTP status.' }),
    code: Type.String({ description: 'Stable code, RMM_ERR_….' }),
    error: Type.String({ description: 'The HTTP status in words.' }),
    message: Type.String({ description: 'What was wrong and what to do.' }),
    connectionId: Type.Optional(
      Type.String({ description: 'RMM_ERR_ALREADY_CONNECTED: the connection that has the account.' })
    )
  },
  { $id: 'RmmError', title: 'RmmError', description: 'Why the request was refused or failed' }
)

export const RefusalSchema = Type.Unsafe<Record<string, unknown>>({
  $id: 'RmmRefusal',
  title: 'RmmRefusal',
  type: 'object',
  additionalProperties: true,
  description:
    'Refused: by the host, in its own format, or by us like every other error (RMM_ERR_TENANT, RMM_ERR_FORBIDDEN, RMM_ERR_CROSS_SITE)'
})

const reasons = {
  400: 'The request is malformed: an unknown field, a wrong value or a foreign cursor',
  401: 'Not logged in, or the request belongs to no tenant',
  403: 'Not allowed',
  404: 'Not there, or not yours',
  409: 'Not possible in this state, or not supported by the provider',
  413: 'The body is too large',
  415: 'The body is not JSON',
  429: 'Too many event streams of the tenant are open',
  422: 'Understood, but refused by the platform or the directory',
  500: 'Something went wrong on our side',
  502: 'The platform failed',
  503: 'Busy or unreachable; try again later'
} as const
type ErrorStatus = keyof typeof reasons

/** The error answers of a route: those every route has, and the given ones. */
export function errors<const S extends ErrorStatus = never>(...statuses: S[]) {
  const all = [400, 401, 403, 500, ...statuses] as const
  const schemaOf = (status: ErrorStatus) => (status === 401 || status === 403 ? RefusalSchema : ErrorSchema)
  return Object.fromEntries(
    all.map(status => [status, ref(schemaOf(status) as typeof ErrorSchema, reasons[status])])
  ) as Record<400 | 401 | 403 | 500 | S, ReturnType<typeof ref<typeof ErrorSchema>>>
}

/** No content: what 204 answers with. */
export const Nothing = (description: string) => Type.Null({ description })

/** Parameters of a URL below a connection. */
export const connectionParams = { connectionId: Id('The connection.') }
export const ConnectionParams = Input(connectionParams)
