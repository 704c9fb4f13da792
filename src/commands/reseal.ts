import { reseal } from '../services/platform/index.ts'
import type { Database } from '../services/store/index.ts'
import type { Resealed, SecretBox } from '../types.ts'

/** Seals everything with the current key that is not; safe beside processes that run. */
export async function resealAll(
  database: Database,
  secrets: SecretBox,
  plan: boolean,
  signal: AbortSignal
): Promise<Resealed> {
  return await reseal({ database, secrets, signal, log: { debug() {} } }, { plan })
}

/** What was done, for people. */
export function toldResealed({ plan, current, keys, resealed, unreadable }: Resealed): string {
  const lines = keys.map(
    ({ keyId, values, resealed, unreadable }) =>
      `${keyId ?? '(key not told)'}: ${values} values, ${resealed} ${plan ? 'to seal anew' : 'sealed anew'}, ${unreadable} unreadable`
  )
  const done = `${resealed} ${plan ? 'would be sealed' : 'were sealed'} with ${current ?? 'the key of the box'}`
  const left =
    unreadable === 0
      ? ''
      : `${unreadable} do not open: their key is missing in the box. Give it back to the box, or have the secrets entered again`
  return [...lines, done, left]
    .filter(line => line !== '')
    .map(line => `${line}\n`)
    .join('')
}
