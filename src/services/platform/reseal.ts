import type { KeyUsage, Resealed, SecretsUsage } from '../../types.ts'
import { waitAtMost } from '../../waits.ts'
import type { Core } from '../core.ts'
import {
  clearExpiredHookSecrets,
  replaceSealed,
  type SealedColumn,
  sealedColumns,
  sealedRows,
  replaceSessionValue,
  type SessionValueRow,
  sessionValues
} from '../store/index.ts'
import { keyIdOf, type Purpose, readContents, seal, sealSecrets, unseal } from './vault.ts'

/** What a pass over everything sealed needs; no platform is asked. */
export type Vault = Pick<Core, 'database' | 'secrets' | 'signal'> & { log: Pick<Core['log'], 'debug'> }

const portion = 500
/** One value that does not open may be damaged; this many say that the key is missing. */
const samples = 3
/** A box that asks a service may not answer. */
const boxMs = 5_000

interface Value {
  owner: { id: string; tenant_id: string }
  purpose: Purpose
  sealed: string
  /** What a connection's secrets belong to. */
  config: Record<string, unknown>
  replace(to: string): Promise<boolean>
}

async function* sealedValues(core: Vault, signal: AbortSignal, tenantId: string | null = null): AsyncGenerator<Value> {
  const { database } = core
  for (let after: string | null = null; ; ) {
    signal.throwIfAborted()
    const rows = await sealedRows(database, { after, limit: portion, tenantId })
    for (const row of rows)
      for (const column of Object.keys(sealedColumns) as SealedColumn[]) {
        const sealed = row[column]
        if (sealed === null) continue
        const replace = (to: string) => replaceSealed(database, row.id, column, sealed, to)
        yield { owner: row, purpose: sealedColumns[column], sealed, config: row.config, replace }
      }
    if (rows.length < portion) break
    after = rows.at(-1)!.id
  }
  for (let after: SessionValueRow | null = null; ; ) {
    signal.throwIfAborted()
    const rows: SessionValueRow[] = await sessionValues(database, { after, limit: portion, tenantId })
    for (const row of rows) {
      const owner = { id: row.connection_id, tenant_id: row.tenant_id }
      const replace = (to: string) => replaceSessionValue(database, row, to)
      yield { owner, purpose: 'session', sealed: row.sealed, config: {}, replace }
    }
    if (rows.length < portion) return
    after = rows.at(-1)!
  }
}

/** The id of the key that seals from now on; null where the box does not tell. */
async function currentKey(core: Vault): Promise<string | null> {
  if (core.secrets.keyId === undefined) return null
  return keyIdOf(core, await seal(core, 'session', { tenant_id: '', id: 'probe' }, ''))
}

async function opens(core: Vault, { owner, purpose, sealed }: Value): Promise<boolean> {
  let opened = false
  const opening = unseal(core, purpose, owner, sealed).then(
    () => {
      opened = true
    },
    () => {}
  )
  await waitAtMost(boxMs, opening)
  return opened
}

/** Which keys the stored values need, and whether the box has them. Opens a few values of each, writes nothing. */
export async function secretsUsage(core: Vault): Promise<SecretsUsage> {
  return { current: await currentKey(core), keys: await keysInUse(core) }
}

/** The same of one tenant, or of all (null), without asking the box to seal anything. */
export async function keysInUse(core: Vault, tenantId: string | null = null): Promise<KeyUsage[]> {
  const byKey = new Map<string | null, { values: number; tried: number; opened: boolean }>()
  for await (const value of sealedValues(core, core.signal, tenantId)) {
    const keyId = keyIdOf(core, value.sealed)
    const seen = byKey.get(keyId) ?? { values: 0, tried: 0, opened: false }
    byKey.set(keyId, seen)
    seen.values++
    if (seen.opened || seen.tried === samples) continue
    seen.tried++
    seen.opened = await opens(core, value)
  }
  const keys = [...byKey].map(([keyId, { values, opened }]): KeyUsage => ({ keyId, values, opens: opened }))
  // By id: values come in no order of their own.
  return keys.sort((a, b) => (a.keyId ?? '').localeCompare(b.keyId ?? ''))
}

type Counts = Resealed['keys'][number]

/** A webhook secret that is rotated meanwhile moves to where a pass has been; then it is found by the next. */
const passes = 5

/**
 * Seals everything with the current key that is not: another key's values, and those of version 0.1, which were bound
 * to no purpose. A value that is replaced meanwhile is left as it is then. Afterwards a key without values can be taken
 * out of the box.
 */
export async function reseal(
  core: Vault,
  { plan = false, signal = core.signal }: { plan?: boolean; signal?: AbortSignal } = {}
): Promise<Resealed> {
  if (!plan) await clearExpiredHookSecrets(core.database)
  const current = await currentKey(core)
  const keys = await pass(core, current, plan, signal)
  const once = plan || current === null
  for (let n = 1, before = keys; !once && n < passes && sum(before, 'resealed') > 0; n++) {
    before = await pass(core, current, plan, signal)
    for (const { keyId, resealed } of before) {
      const known = keys.find(counts => counts.keyId === keyId)
      if (known === undefined && resealed === 0) continue
      if (known === undefined) keys.push({ keyId, values: resealed, resealed, unreadable: 0 })
      else known.resealed += resealed
    }
  }
  return { plan, current, keys, resealed: sum(keys, 'resealed'), unreadable: sum(keys, 'unreadable') }
}

const sum = (keys: Counts[], what: 'resealed' | 'unreadable'): number =>
  keys.reduce((total, counts) => total + counts[what], 0)

async function pass(core: Vault, current: string | null, plan: boolean, signal: AbortSignal): Promise<Counts[]> {
  const byKey = new Map<string | null, Counts>()
  for await (const value of sealedValues(core, signal)) {
    const keyId = keyIdOf(core, value.sealed)
    const counts = byKey.get(keyId) ?? { keyId, values: 0, resealed: 0, unreadable: 0 }
    byKey.set(keyId, counts)
    counts.values++
    const outcome = await resealOne(core, value, current !== null && keyId === current, plan)
    if (outcome !== 'kept') counts[outcome]++
  }
  return [...byKey.values()]
}

async function resealOne(
  core: Vault,
  { owner, purpose, sealed, config, replace }: Value,
  isCurrent: boolean,
  plan: boolean
): Promise<'kept' | 'resealed' | 'unreadable'> {
  let again: () => Promise<string>
  try {
    const { plain, old } = await unseal(core, purpose, owner, sealed)
    const contents = purpose === 'connection' ? readContents(core, sealed, plain) : null
    if (isCurrent && !old && contents?.config !== null) return 'kept'
    again = () =>
      contents === null
        ? seal(core, purpose, owner, plain)
        : sealSecrets(core, owner, contents.secrets, contents.config ?? config)
  } catch (error) {
    core.log.debug({ err: error, connectionId: owner.id, of: purpose }, 'a sealed value does not open')
    return 'unreadable'
  }
  if (plan) return 'resealed'
  return (await replace(await again())) ? 'resealed' : 'kept'
}
