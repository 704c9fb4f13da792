import { ProviderError, type ProviderErrorKind } from '../../providers/define.ts'
import { type Trouble, troubleOf } from '../model/index.ts'
import { isAddressFault } from './failures.ts'

/** What a failed attempt means for its run. */
export interface Failure {
  code: string
  message: string
  /**
   * `permanent`: another attempt would end the same way. `interrupted`: nobody's fault, goes on later without
   * counting.
   */
  kind: 'permanent' | 'transient' | 'interrupted'
  /** `run`: the credentials, the address or the database are at fault, so that no other resource could be read. */
  reach: 'run' | 'resource'
  retryAfterMs?: number
}

const codes: Record<ProviderErrorKind, string> = {
  auth: 'RMM_ERR_PLATFORM_AUTH',
  forbidden: 'RMM_ERR_PLATFORM_FORBIDDEN',
  rate_limited: 'RMM_ERR_RATE_LIMITED',
  unreachable: 'RMM_ERR_UNREACHABLE',
  protocol: 'RMM_ERR_INCOMPLETE',
  gone: 'RMM_ERR_INCOMPLETE',
  not_in_plan: 'RMM_ERR_NOT_IN_PLAN'
}
const permanentKinds: readonly ProviderErrorKind[] = ['auth', 'forbidden', 'not_in_plan']
const permanentCodes = [
  'RMM_ERR_MASS_REMOVAL',
  'RMM_ERR_MASS_MOVE',
  // Of a provider it may pass; as our own finding it has been read twice.
  'RMM_ERR_INCOMPLETE',
  'RMM_ERR_CONNECTION_DISCONNECTED',
  'RMM_ERR_SECRETS_UNREADABLE',
  'RMM_ERR_SECRETS_REQUIRED',
  'RMM_ERR_PROVIDER',
  'RMM_ERR_PROVIDER_UNAVAILABLE'
]

export function classify(error: unknown): Failure {
  if (error instanceof ProviderError) {
    const kind = permanentKinds.includes(error.kind) ? 'permanent' : 'transient'
    return {
      code: codes[error.kind],
      message: error.message,
      kind,
      reach: isOfAccount(error) ? 'run' : 'resource',
      ...(error.retryAfterMs === undefined ? {} : { retryAfterMs: error.retryAfterMs })
    }
  }
  const trouble = troubleOf(error)
  if (trouble !== null) return ofDatabase(trouble, error)
  const code = (error as { code?: unknown }).code
  if (typeof code === 'string' && code.startsWith('RMM_ERR_')) {
    return {
      code,
      message: (error as Error).message,
      kind: permanentCodes.includes(code) ? 'permanent' : 'transient',
      reach: code === 'RMM_ERR_CONNECTION_DISCONNECTED' ? 'run' : 'resource'
    }
  }
  return {
    code: 'RMM_ERR_INTERNAL',
    message: 'The sync failed on our side; the log has the details under this run id',
    kind: 'transient',
    reach: 'resource'
  }
}

/** Whatever is asked next, the platform would answer it the same way. */
function isOfAccount(error: ProviderError): boolean {
  if (error.kind === 'auth' || error.kind === 'rate_limited') return true
  return error.kind !== 'forbidden' && isAddressFault((error.cause as { code?: unknown } | undefined)?.code)
}

/**
 * The database's trouble is nobody's failure. Only a setting that ends the work every time is one: the run tells it,
 * unless it cannot even be written down.
 */
function ofDatabase(trouble: Trouble, error: unknown): Failure {
  const { code, message } = error as { code?: unknown; message: string }
  const isSettings = code === 'RMM_ERR_DATABASE_SETTINGS'
  return {
    code: isSettings ? code : 'RMM_ERR_INTERRUPTED',
    message: isSettings ? message : `${trouble.what}; the run goes on from its checkpoint`,
    kind: isSettings && !trouble.noWrites ? 'transient' : 'interrupted',
    reach: 'run'
  }
}
