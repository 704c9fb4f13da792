import { type Checkpoint, type Page, ProviderError, type RecordId, type RmmProvider } from '../../providers/define.ts'
import { ProviderRecordError } from '../../errors.ts'
import { type ResourceName, resourceNames } from '../../types.ts'
import type { Core } from '../core.ts'
import { insertRecording, knownRevisions, nextRecordings } from '../store/index.ts'
import { NotRecorded } from './not-recorded.ts'
import { pagesOf } from './pages.ts'
import type { AnyRecord, AnyResource } from './prepare.ts'
import { type Reading, step } from './reading.ts'
import { readOne } from './read-one.ts'

/**
 * A plan keeps what the platform said, and is worked out, and later applied, by the engine of every sync from what was
 * kept: it cannot find anything else than a sync would.
 */

/** What JSON has no word for, under names that no platform uses. */
const [dateMark, bigintMark] = ['\0date', '\0bigint']

const pack = (value: unknown): string =>
  JSON.stringify(value, function (this: Record<string, unknown>, key, plain: unknown) {
    const raw = this[key]
    if (raw instanceof Date) return { [dateMark]: raw.getTime() }
    return typeof raw === 'bigint' ? { [bigintMark]: String(raw) } : plain
  })

const unpack = <T>(data: string): T =>
  JSON.parse(data, (_key, value: unknown) => {
    if (typeof value !== 'object' || value === null) return value
    const marked = value as Record<string, unknown>
    if (dateMark in marked) return new Date((marked[dateMark] as number | null) ?? Number.NaN)
    return bigintMark in marked ? BigInt(marked[bigintMark] as string) : value
  }) as T

type Answer = { record: AnyRecord | null } | { error: { kind: ProviderError['kind'] | null; message: string } }
type Part = { page: Page<AnyRecord> } | { end: true } | { error: { kind: ProviderError['kind']; message: string } }

const partOf = (name: ResourceName, read: number): string => `${name}:${read}`

/** Asks the platform for what is missing, and keeps the answer. */
export async function record(reading: Reading, missing: NotRecorded): Promise<void> {
  if (missing.part === 'one') return await recordOnes(reading, missing.ids)
  const { core, provider, client, signal } = reading
  if (missing.part === 'sees') {
    const sees = (await provider.visibility?.(client, signal)) ?? 'all'
    return await keep(reading, 'sees', null, sees)
  }
  const name = missing.part.split(':')[0] as ResourceName
  try {
    const known =
      name === 'devices'
        ? (ids: RecordId[]) => knownRevisions(core.database, reading.context.connectionId, ids)
        : undefined
    const source = { provider, client, name, known, signal, clock: core.clock }
    for await (const page of pagesOf(source, missing.from)) {
      await keep(reading, missing.part, null, { page } satisfies Part)
      reading.heartbeat()
    }
    await keep(reading, missing.part, null, { end: true } satisfies Part)
  } catch (error) {
    if (!(error instanceof ProviderError) || error.kind !== 'not_in_plan') throw error
    await keep(reading, missing.part, null, { error: { kind: error.kind, message: error.message } } satisfies Part)
  }
}

async function keep(reading: Reading, part: string, key: string | null, value: unknown): Promise<void> {
  const { attempt, core } = reading
  const data = pack(value)
  await step(reading, trx => insertRecording(trx, core.database.t, attempt, { part, key, data }))
}

async function recordOnes(reading: Reading, keys: readonly string[]): Promise<void> {
  const { core, provider, client, signal } = reading
  for (const key of keys) {
    const [name, id] = [key.slice(0, key.indexOf(' ')) as ResourceName, key.slice(key.indexOf(' ') + 1)]
    let answer: Answer
    try {
      answer = { record: await readOne({ provider, client }, name, id, core.now(), signal) }
    } catch (error) {
      const kind = error instanceof ProviderError ? error.kind : null
      if (
        signal.aborted ||
        kind === 'auth' ||
        kind === 'rate_limited' ||
        !(kind !== null || error instanceof ProviderRecordError)
      )
        throw error
      answer = { error: { kind, message: (error as Error).message } }
    }
    await keep(reading, 'one', key, answer)
    reading.heartbeat()
  }
}

/** A provider that says what was kept. */
export interface Recorded {
  provider: RmmProvider
  /** When the plan began to read. */
  now(): Date
  /** Asks for all of these at once where they are not known. */
  prefetch(name: ResourceName, ids: readonly string[]): Promise<void>
}

/**
 * The provider as it was when the plan `runId` was made. What was not asked then throws `NotRecorded` where `strict`; without
 * it the platform "does not say".
 */
export async function recordedProvider(
  core: Core,
  live: RmmProvider,
  runId: string,
  strict: boolean
): Promise<Recorded> {
  const { database } = core
  const ones = new Map<string, Answer>()
  for await (const { key, data } of rowsOf(core, runId, 'one')) ones.set(key!, unpack<Answer>(data))
  const reads = new Map<ResourceName, number>()
  let startedAt = core.now()

  async function* pull(name: ResourceName, from: Checkpoint | null): AsyncGenerator<Page<AnyRecord>> {
    const read = reads.get(name) ?? 0
    reads.set(name, read + 1)
    const part = partOf(name, read)
    let ended = false
    for await (const { data } of rowsOf(core, runId, part)) {
      const value = unpack<Part>(data)
      if ('page' in value) yield value.page
      if ('end' in value) ended = true
      if ('error' in value) throw new ProviderError(value.error.kind, value.error.message)
    }
    if (!ended)
      throw strict
        ? new NotRecorded(part, [], from)
        : new ProviderError('protocol', `the plan has no such read of ${name}`)
  }

  async function fetchOne(name: ResourceName, id: string): Promise<AnyRecord | null> {
    const key = `${name} ${id}`
    const answer = ones.get(key)
    if (answer === undefined)
      throw strict
        ? new NotRecorded('one', [key])
        : new ProviderError('protocol', 'it was not asked for when the plan was made')
    if ('record' in answer) return answer.record
    if (answer.error.kind === null) throw new Error(answer.error.message)
    throw new ProviderError(answer.error.kind, answer.error.message)
  }

  const resources: Record<string, unknown> = {}
  for (const name of resourceNames) {
    const resource = live.resources[name] as AnyResource | undefined
    if (resource === undefined) continue
    resources[name] = inheriting(resource, {
      pull: (_client: unknown, from: Checkpoint | null) => pull(name, from),
      ...(resource.fetchOne === undefined ? {} : { fetchOne: (_client: unknown, id: string) => fetchOne(name, id) })
    })
  }
  const visibility = async () => {
    for await (const { data } of rowsOf(core, runId, 'sees')) return unpack<'all' | 'partial'>(data)
    if (strict) throw new NotRecorded('sees')
    return 'all' as const
  }
  const [first] = await nextRecordings(database, runId, 'started', '0', 1)
  if (first !== undefined) startedAt = unpack<Date>(first.data)
  return {
    provider: inheriting(live, { resources, ...(live.visibility === undefined ? {} : { visibility }) }),
    now: () => startedAt,
    async prefetch(name, ids) {
      const missing = ids.map(id => `${name} ${id}`).filter(key => !ones.has(key))
      if (strict && missing.length > 0) throw new NotRecorded('one', missing)
    }
  }
}

/** What is not given is inherited: a provider may be an instance of a class. */
function inheriting<T extends object>(owner: T, given: object): T {
  const values = Object.entries(given).map(([name, value]) => [name, { value, enumerable: true }])
  return Object.create(owner, Object.fromEntries(values)) as T
}

async function* rowsOf(core: Core, runId: string, part: string) {
  for (let after = '0'; ; ) {
    const rows = await nextRecordings(core.database, runId, part, after, 20)
    yield* rows
    if (rows.length < 20) return
    after = rows.at(-1)!.id
  }
}

/** When the plan began to read: nothing that was seen later is gone by it. */
export async function recordStart(reading: Reading): Promise<void> {
  await keep(reading, 'started', null, reading.core.now())
}
