import createError from '@fastify/error'

/**
 * Every error this plugin answers with. The code is stable, the message says what was wrong and what to do,
 * 5xx messages carry no internals. Not yours and not there are the same error.
 */
export const OptionError = createError<[string]>('RMM_ERR_OPTION', '%s', 500)
export const AlreadyRegisteredError = createError(
  'RMM_ERR_ALREADY_REGISTERED',
  'fastify-rmm-sync is already registered on this instance; register it once and share app.rmm',
  500
)
export const SchemaNotIgnoredError = createError<[string]>('RMM_ERR_SCHEMA_NOT_IGNORED', '%s', 500)
export const MigrationError = createError<[string]>('RMM_ERR_MIGRATION', '%s', 500)
/** What the host's `actor` returned, or `as` was given, is no actor. */
export const ActorError = createError<[string]>('RMM_ERR_ACTOR', 'An actor is { id, name? } or null: %s', 500)
export const ProviderShapeError = createError<[string]>('RMM_ERR_PROVIDER', '%s', 500)

export const TenantError = createError(
  'RMM_ERR_TENANT',
  'No tenant: this request is not bound to a tenant of the host',
  401
)
/** `authorize` answered false instead of throwing. */
export const ForbiddenError = createError('RMM_ERR_FORBIDDEN', 'Not allowed', 403)
export const CrossSiteError = createError(
  'RMM_ERR_CROSS_SITE',
  'This request comes from a page of another origin; name that origin in the option trustedOrigins if it may',
  403
)
export const TooManyStreamsError = createError<[number]>(
  'RMM_ERR_TOO_MANY_STREAMS',
  'This tenant has %d event streams open already; close some, or ask for the run now and then instead',
  429
)
export const ValidationError = createError<[string]>('RMM_ERR_VALIDATION', '%s', 400)
export const CursorError = createError(
  'RMM_ERR_CURSOR',
  'The cursor is not one of this list; start again without it',
  400
)
export const BodyError = createError<[string]>('RMM_ERR_BODY', '%s', 400)
export const BodyTooLargeError = createError<[string]>('RMM_ERR_BODY_TOO_LARGE', '%s', 413)
export const MediaTypeError = createError(
  'RMM_ERR_MEDIA_TYPE',
  'The body must be JSON: send content-type application/json',
  415
)
export const NotFoundError = createError<[string]>('RMM_ERR_NOT_FOUND', '%s not found', 404)
export const WebhookRefusedError = createError(
  'RMM_ERR_WEBHOOK_REFUSED',
  'Unknown webhook address or wrong signature',
  401
)

/** The request may be right, but the secret that proves it cannot be opened. */
export const WebhookUnreadableError = createError(
  'RMM_ERR_SECRETS_UNREADABLE',
  'This webhook cannot be checked at the moment; send it again later',
  503
)

export const ProviderUnavailableError = createError<[string]>(
  'RMM_ERR_PROVIDER_UNAVAILABLE',
  'The provider %s is not available here',
  404
)
/** An address in a connection's config that may not be used as it is. */
export const AddressError = createError<[string]>('RMM_ERR_ADDRESS', '%s', 422)
export const SecretsRequiredError = createError<[string]>('RMM_ERR_SECRETS_REQUIRED', '%s', 422)
export const ConnectionCheckError = createError<[string]>('RMM_ERR_CONNECTION_CHECK', '%s', 422)
export const ConnectionDisconnectedError = createError(
  'RMM_ERR_CONNECTION_DISCONNECTED',
  'The connection is disconnected; give it its secrets again (PATCH …/connections/:id) first',
  409
)
/** Carries `connectionId`: which connection has the account. */
export const AlreadyConnectedError = createError<[string]>('RMM_ERR_ALREADY_CONNECTED', '%s', 409)
/** No key of the secret box opens what is stored. */
export const SecretsUnreadableError = createError<[string]>('RMM_ERR_SECRETS_UNREADABLE', '%s', 409)
export const ClientUnknownError = createError<[string]>(
  'RMM_ERR_CLIENT_UNKNOWN',
  'The client %s is not in the directory',
  422
)
export const MappingError = createError<[string]>('RMM_ERR_MAPPING', '%s', 422)
export const NotSupportedError = createError<[string]>('RMM_ERR_NOT_SUPPORTED', '%s', 409)
export const ConflictError = createError<[string]>('RMM_ERR_CONFLICT', '%s', 409)
/** The platform refused or failed an action; the message is the provider's sentence for the operator. */
export const PlatformError = createError<[string]>('RMM_ERR_PLATFORM', '%s', 502)
export const PlatformForbiddenError = createError<[string]>('RMM_ERR_PLATFORM_FORBIDDEN', '%s', 409)
export const PlatformBusyError = createError<[string]>('RMM_ERR_PLATFORM_BUSY', '%s', 503)
/** The provider broke a rule of its interface; the message names it and the rule. */
export const ProviderFaultError = createError<[string]>('RMM_ERR_PROVIDER_FAULT', '%s', 502)
/** A single record that the platform has and that the provider could not map. */
export const ProviderRecordError = createError<[string]>('RMM_ERR_PROVIDER_RECORD', '%s', 502)
export const MassRemovalError = createError<[string]>('RMM_ERR_MASS_REMOVAL', '%s', 409)
export const MassMoveError = createError<[string]>('RMM_ERR_MASS_MOVE', '%s', 409)
/** A list that was short twice in one run: nothing was concluded from what it did not show. */
export const IncompleteError = createError<[string]>('RMM_ERR_INCOMPLETE', '%s', 502)
export const StaleAttemptError = createError('RMM_ERR_STALE_ATTEMPT', 'Another worker has taken this run over', 409)
export const PlanExpiredError = createError(
  'RMM_ERR_PLAN_EXPIRED',
  'This plan is older than 24 hours, or data that it was made from was erased; make a new one',
  409
)
export const OnChangesError = createError<[string]>('RMM_ERR_ON_CHANGES', '%s', 500)
/** What a function of the host did wrong, beside `onChanges`. */
export const HostError = createError<[string]>('RMM_ERR_HOST', '%s', 500)
export const TransportError = createError<[string]>('RMM_ERR_TRANSPORT', '%s', 503)
export const PublicUrlError = createError(
  'RMM_ERR_PUBLIC_URL',
  'Webhooks need the address the platform can reach: set the option publicUrl, e.g. https://psa.example.com, and publicPath where this process mounts no routes',
  409
)
/** The database is there but will not do this work now: others are at the same rows. */
export const DatabaseBusyError = createError<[string]>('RMM_ERR_DATABASE_BUSY', '%s', 503)
/** The database is away, starting, or out of space, memory or connections. */
export const DatabaseUnavailableError = createError<[string]>('RMM_ERR_DATABASE_UNAVAILABLE', '%s', 503)
/** A setting of the database, of the role or of the pool makes this work impossible. */
export const DatabaseSettingsError = createError<[string]>('RMM_ERR_DATABASE_SETTINGS', '%s', 503)
export const InternalError = createError(
  'RMM_ERR_INTERNAL',
  'Something went wrong on our side; the log has the details under this request id',
  500
)
