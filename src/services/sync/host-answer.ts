import { OnChangesError } from '../../errors.ts'
import { thrownText } from '../platform/index.ts'

const longestRef = 500

const broke = (rule: string): Error => new OnChangesError(`onChanges of the host broke a rule: ${rule}`)

/**
 * What `onChanges` may return: nothing, or `{ assetRefs }` with a text for devices of the batch it was given. Throws
 * `RMM_ERR_ON_CHANGES` with the rule.
 */
export function assetRefsOf(returned: unknown, deviceIds: Pick<ReadonlySet<string>, 'has'>): Record<string, string> {
  if (returned === undefined || returned === null) return {}
  if (!isObject(returned)) throw broke('it returns nothing, or { assetRefs: { [deviceId]: text } }')
  const { assetRefs } = returned
  if (assetRefs === undefined || assetRefs === null) return {}
  if (!isObject(assetRefs)) throw broke('assetRefs is an object from device ids to texts')
  const refs: Record<string, string> = {}
  for (const [id, ref] of Object.entries(assetRefs)) {
    if (ref === undefined) continue
    if (!deviceIds.has(id))
      throw broke(`assetRefs are by the ids of the devices it was given (device.id); '${id.slice(0, 80)}' is none`)
    if (typeof ref !== 'string' || ref === '' || ref.length > longestRef || ref.includes('\0') || !ref.isWellFormed())
      throw broke(`an asset ref is a text of 1 to ${longestRef} characters; that of the device ${id} is none`)
    refs[id] = ref
  }
  return refs
}

const longestReason = 1000

/** The devices of the batch that it does not take, with its reasons. Throws `RMM_ERR_ON_CHANGES` with the rule. */
export function refusedOf(returned: unknown, deviceIds: Pick<ReadonlySet<string>, 'has'>): Record<string, string> {
  const refused = isObject(returned) ? (returned['refused'] ?? {}) : {}
  if (!isObject(refused)) throw broke('refused is an object from device ids to reasons')
  const told: Record<string, string> = {}
  for (const [id, reason] of Object.entries(refused)) {
    if (reason === undefined) continue
    if (!deviceIds.has(id))
      throw broke(`refused is by the ids of the devices it was given (device.id); '${id.slice(0, 80)}' is none`)
    if (typeof reason !== 'string') throw broke(`the reason for refusing a device is a text; that of ${id} is none`)
    told[id] = reason.slice(0, longestReason).toWellFormed().replaceAll('\0', '')
  }
  return told
}

/** Why `onChanges` failed, as the host's mistake. */
export function onChangesFailure(error: unknown): Error {
  if (error instanceof OnChangesError) return error
  const rule = brokenRule(error)
  if (rule !== null) return Object.assign(broke(rule), { cause: error })
  return Object.assign(new OnChangesError(`onChanges of the host failed: ${thrownText(error)}`), { cause: error })
}

/** `in_failed_sql_transaction`: after a statement that failed nothing more can be done in its transaction. */
const failedBefore = '25P02'

function brokenRule(error: unknown): string | null {
  if (!(error instanceof Error)) return null
  if ((error as { code?: unknown }).code === failedBefore)
    return 'it caught an error of the database and went on; the transaction it works in is over then. Let such errors out, or do what may fail in em.transactional(…)'
  return brokenRule(error.cause)
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
