import assert from 'node:assert/strict'
import { inspect } from 'node:util'
import type {
  Checkpoint,
  KnownRevisions,
  Page,
  ProviderContext,
  ProviderLog,
  RecordId,
  Resource,
  RmmProvider
} from '../../providers/define.ts'
import { createEgress, hostsOf } from '../../services/egress/egress.ts'
import { memorySession } from '../../services/egress/session-values.ts'
import type { ResourceName } from '../../types.ts'
import { hostOf, type Traffic, watchTraffic } from './traffic.ts'
import type { ContractWorld, RunningWorld } from './world.ts'

export interface Subject {
  provider: RmmProvider
  world: ContractWorld
}

/** One running world and everything the provider did in it. */
export interface Session {
  world: RunningWorld
  traffic: Traffic
  /** Hosts the provider asked the egress for, whether it was let through or not. */
  asked: string[]
  /** Everything that was logged or printed. */
  said: string[]
  signal: AbortSignal
  /** A new client with an egress of its own, as another process would have. Default: the world's good secrets. */
  open(secrets?: Record<string, unknown>): Promise<unknown>
}

type AnyRecord = { externalId: RecordId }
export type AnyPage = Page<AnyRecord>

const timeLimitMs = 30_000

/** Starts the world, hands the session to `use`, and takes everything down again. A case that never ends fails. */
export async function withSession(subject: Subject, use: (session: Session) => Promise<void>): Promise<void> {
  const world = await subject.world.start()
  const stop = new AbortController()
  const traffic = watchTraffic()
  const said: string[] = []
  const asked: string[] = []
  const closers: Array<() => Promise<void>> = []
  const restoreConsole = listenToConsole(said)
  const session: Session = {
    world,
    traffic,
    said,
    asked,
    signal: stop.signal,
    async open(secrets = world.secrets) {
      const { context, close } = contextFor(subject.provider, world, secrets, { said, asked, signal: stop.signal })
      closers.push(close, async () => {
        assert.deepEqual(
          [context.config, context.secrets],
          [world.config, secrets],
          'a provider must not change the config and secrets it is given: they are shared'
        )
      })
      const client = await subject.provider.open(context)
      closers.push(async () => {
        await subject.provider.close?.(client)
      })
      return client
    }
  }
  const limit = timeLimit()
  try {
    await ruled(Promise.race([use(session), limit.expired]))
    // Newest first: a client before the egress it uses.
    for (const close of closers.reverse()) await ruled(close())
  } finally {
    limit.clear()
    restoreConsole()
    traffic.stop()
    // Ends also what a failed case left open.
    stop.abort()
    await world.close()
  }
}

/** What a provider throws where a rule lets it throw nothing is a broken rule too. */
async function ruled(work: Promise<void>): Promise<void> {
  try {
    await work
  } catch (error) {
    if (error instanceof assert.AssertionError) throw error
    throw Object.assign(
      new assert.AssertionError({ message: `the provider threw where it must not: ${String(error)}` }),
      { cause: error }
    )
  }
}

function timeLimit() {
  let timer: NodeJS.Timeout | undefined
  const expired = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(
      () =>
        reject(
          new assert.AssertionError({ message: `the provider did not come to an end within ${timeLimitMs / 1000} s` })
        ),
      timeLimitMs
    )
  })
  return { expired, clear: () => clearTimeout(timer) }
}

/**
 * Worlds are local, and pace is the operator's setting: both are opened wide, the rest is the egress of a real
 * connection.
 */
function contextFor(
  provider: RmmProvider,
  world: RunningWorld,
  secrets: Record<string, unknown>,
  { said, asked, signal }: Pick<Session, 'said' | 'asked' | 'signal'>
) {
  const log = recordingLog(said)
  const egress = createEgress({
    hosts: hostsOf(provider, world.config),
    allowPrivateNetwork: true,
    ca: provider.ca?.(world.config),
    limits: { concurrency: provider.limits?.concurrency ?? 1 },
    retry: { baseMs: 5 },
    log,
    signal,
    redact: texts(secrets)
  })
  const context: ProviderContext<any, any> = {
    config: structuredClone(world.config),
    secrets: structuredClone(secrets),
    log,
    signal,
    fetch(url, options) {
      asked.push(hostOf(url))
      return egress.fetch(url, options)
    },
    webSocket(url, options) {
      asked.push(hostOf(url))
      return egress.webSocket(url, options)
    },
    session: memorySession()
  }
  return { context, close: egress.close }
}

function recordingLog(said: string[]): ProviderLog {
  const line = (fields: object, message: string) => {
    said.push(`${message} ${show(fields)}`)
  }
  return { debug: line, info: line, warn: line }
}

function listenToConsole(said: string[]): () => void {
  const names = ['debug', 'error', 'info', 'log', 'warn'] as const
  const originals = names.map(name => console[name])
  for (const name of names)
    console[name] = (...parts: unknown[]) => {
      said.push(parts.map(show).join(' '))
    }
  return () =>
    names.forEach((name, index) => {
      console[name] = originals[index]!
    })
}

/** Everything in a value, causes and hidden depths included. */
export function show(value: unknown): string {
  return typeof value === 'string' ? value : inspect(value, { depth: 12, maxArrayLength: null, maxStringLength: null })
}

/** Every text in a value, at any depth. */
export function texts(value: unknown): string[] {
  if (typeof value === 'string') return [value]
  return value !== null && typeof value === 'object' ? Object.values(value).flatMap(texts) : []
}

export function resourceOf(subject: Subject, name: ResourceName): Resource<unknown, AnyRecord> {
  const resource = subject.provider.resources[name]
  assert(resource, `the provider has no resource '${name}'`)
  return resource as Resource<unknown, AnyRecord>
}

/** Pages of one read, at most `count` of them. Checkpoints come back as the database would give them. */
export async function read(
  subject: Subject,
  name: ResourceName,
  client: unknown,
  {
    from = null,
    count = Infinity,
    signal,
    known
  }: { from?: Checkpoint | null; count?: number; signal: AbortSignal; known?: KnownRevisions }
): Promise<AnyPage[]> {
  const pages: AnyPage[] = []
  for await (const page of resourceOf(subject, name).pull(client, from, signal, known)) {
    pages.push({ ...page, checkpoint: stored(page.checkpoint) })
    if (pages.length >= count) break
  }
  return pages
}

function stored(checkpoint: Checkpoint | null | undefined): Checkpoint | null {
  if (checkpoint == null) return null
  const copy = JSON.parse(JSON.stringify(checkpoint)) as Checkpoint
  assert.deepEqual(copy, checkpoint, 'a checkpoint must survive being stored as JSON')
  return copy
}

export const idsOf = (pages: AnyPage[]): string[] =>
  pages.flatMap(page => page.records.map(record => String(record.externalId)))

export function expectedOf(session: Session, name: ResourceName): string[] {
  const expected = session.world.expected[name]
  assert(expected, `the world must tell the expected ids of '${name}'`)
  return [...expected].sort()
}

/** What a promise was rejected with; fails where it was not. */
export async function rejection(promise: Promise<unknown>, message: string): Promise<unknown> {
  try {
    await promise
  } catch (error) {
    return error
  }
  throw new assert.AssertionError({ message })
}
