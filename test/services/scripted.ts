import { Type } from '@sinclair/typebox'
import { sql } from 'kysely'
import type { Test } from 'tap'
import {
  type AlertRecord,
  type Checkpoint,
  defineProvider,
  type DeviceRecord,
  type KnownRevisions,
  type OrganizationRecord,
  type Page,
  type RmmProvider,
  type UpdateRecord
} from '../../src/providers/define.ts'
import { type Database, openDatabase } from '../../src/services/store/database.ts'
import type { ResourceName, Run, SyncRequest } from '../../src/types.ts'
import { build, type Host, type HostOptions } from '../helper.ts'
import { until } from '../until.ts'

export type Pages<R> = (from: Checkpoint | null, signal: AbortSignal, known?: KnownRevisions) => AsyncIterable<Page<R>>

/** A platform that says what a test wants it to say. */
export interface Script {
  provider: RmmProvider
  organizations: Pages<OrganizationRecord>
  devices: Pages<DeviceRecord>
  updates: Pages<UpdateRecord>
  alerts: Pages<AlertRecord>
  /** What single reads answer, by external id: a record, null, an error to throw; nothing = null. */
  one: Map<string, DeviceRecord | OrganizationRecord | UpdateRecord | AlertRecord | Error | null>
  /** Thrown by `check` and `open` while set. */
  broken: { check?: Error; open?: Error }
  /** What the account sees when it is asked. */
  sees: 'all' | 'partial'
  /** Every list read, with where it was resumed from. */
  pulls: Array<{ resource: ResourceName; from: Checkpoint | null }>
  /** Every single read. */
  asked: string[]
  /** Alerts resolved on the platform. */
  resolved: string[]
}

export function page<R>(records: R[], more: Partial<Page<R>> = {}): Page<R> {
  return { observedAt: new Date(), records, ...more }
}

/** A list that comes in these pages; `checkpoint` n says that n pages are done, as long as there are more. */
export function list<R>(...pages: Array<R[] | Page<R>>): Pages<R> {
  return async function* (from) {
    for (let n = Number(from ?? 0); n < pages.length; n++) {
      const next = pages[n]!
      yield { checkpoint: n + 1 < pages.length ? n + 1 : null, ...(Array.isArray(next) ? page(next) : next) }
    }
  }
}

export const device = (externalId: string, more: Partial<DeviceRecord> = {}): DeviceRecord => ({
  externalId,
  displayName: externalId,
  organizationExternalId: 'g1',
  online: true,
  ...more
})
export const devices = (count: number, more: Partial<DeviceRecord> = {}, prefix = 'd'): DeviceRecord[] =>
  Array.from({ length: count }, (_, n) => device(`${prefix}${String(n).padStart(3, '0')}`, more))
export const group = (
  externalId: string,
  parentExternalId: string | null = null,
  name = `Group ${externalId}`
): OrganizationRecord => ({ externalId, name, parentExternalId })
export const alert = (externalId: string, more: Partial<AlertRecord> = {}): AlertRecord => ({
  externalId,
  name: `Alert ${externalId}`,
  deviceExternalId: 'd000',
  severity: 'major',
  status: 'active',
  startedAt: new Date('2026-01-01T00:00:00Z'),
  ...more
})

export interface ScriptOptions {
  deletes?: 'snapshot' | 'explicit'
  /** Leaves `fetchOne` away. */
  noSingleReads?: boolean
  /** Lets updates be read one by one as well. */
  singleUpdates?: boolean
}

export function createScript({
  deletes = 'snapshot',
  noSingleReads = false,
  singleUpdates = false
}: ScriptOptions = {}): Script {
  const script = {
    organizations: list([group('g1')]),
    devices: list(),
    updates: list(),
    alerts: list(),
    one: new Map(),
    broken: {},
    sees: 'all',
    pulls: [],
    asked: [],
    resolved: []
  } as unknown as Script
  const pull =
    (resource: ResourceName) =>
    (_client: unknown, from: Checkpoint | null, signal: AbortSignal, known?: KnownRevisions) => {
      script.pulls.push({ resource, from })
      return script[resource](from, signal, known) as AsyncIterable<Page<never>>
    }
  const fetchOne = async (_client: unknown, externalId: string) => {
    script.asked.push(externalId)
    const answer = script.one.get(externalId) ?? null
    if (answer instanceof Error) throw answer
    return answer as never
  }
  const single = noSingleReads ? {} : { fetchOne }
  script.provider = defineProvider({
    id: 'scripted',
    name: 'Scripted',
    description: 'Says what a test wants it to say',
    configSchema: Type.Object({}),
    secretSchema: Type.Object({ apiKey: Type.String() }),
    open: () => {
      if (script.broken.open !== undefined) throw script.broken.open
      return {}
    },
    async check() {
      if (script.broken.check !== undefined) throw script.broken.check
      return { account: 'scripted', warnings: [] }
    },
    resources: {
      organizations: { deletes, pull: pull('organizations'), ...single },
      devices: { deletes, pull: pull('devices'), ...single },
      updates: { deletes: 'none', pull: pull('updates'), ...(singleUpdates ? { fetchOne } : {}) },
      alerts: { deletes, pull: pull('alerts'), ...single }
    },
    visibility: () => script.sees,
    async resolveAlert(_client, externalId) {
      script.resolved.push(externalId)
      return { ...alert(externalId), status: 'resolved', resolvedAt: new Date() }
    }
  }) as RmmProvider
  return script
}

export const fastEngine = { tickMs: 100, leaseMs: 2_000, retryDelayMs: 10 }

/** Waits for the end of a run; looks more often than `settled`, as many short runs are waited for. */
export async function ended(host: Host, runId: string): Promise<Run> {
  return await until(`run ${runId}`, async () => {
    const run = await host.app.rmm.sync.get('t1', runId)
    return run.finishedAt !== null && run
  })
}

export interface ScriptedHost extends Host {
  script: Script
  connectionId: string
  database: Database
  /** Starts a sync and waits for its end. */
  sync(request?: SyncRequest): Promise<Run>
  /** Maps organizations by external id: a client, `null` for excluded, `undefined` for inherit. */
  map(mapping: Record<string, string | null | undefined>): Promise<void>
  rows<T = any>(table: keyof Database['t'], order?: string): Promise<T[]>
  items(runId: string): Promise<Array<{ resource: string; externalId: string | null; outcome: string; reason: string }>>
  /** Types of the outgoing events in order, with the external id of what they are about. */
  told(): Promise<string[]>
}

/** A host with a scripted platform, connected; `g1` is there and mapped to client c1 unless `mapped` is false. */
export async function scriptedHost(
  t: Test,
  { mapped = true, script = createScript(), ...options }: HostOptions & { mapped?: boolean; script?: Script } = {}
): Promise<ScriptedHost> {
  const host = await build(t, {
    ...options,
    providers: [script.provider],
    engine: { ...fastEngine, ...options.engine }
  })
  const { app, orm, schema } = host
  const { connection } = await app.rmm.connections.create('t1', { provider: 'scripted', secrets: { apiKey: 'k' } })
  const database = await openDatabase(orm, schema)
  const connectionId = connection.id
  const scripted: ScriptedHost = {
    ...host,
    script,
    connectionId,
    database,
    async sync(request) {
      const { run } = await app.rmm.sync.start('t1', connectionId, request)
      return await ended(host, run.id)
    },
    async map(mapping) {
      const ids = new Map((await scripted.rows('organization')).map(row => [row.external_id, row.id]))
      for (const [externalId, clientRef] of Object.entries(mapping)) {
        await app.rmm.organizations.update(
          't1',
          connectionId,
          ids.get(externalId),
          clientRef === null
            ? { mode: 'excluded' }
            : clientRef === undefined
              ? { mode: 'inherit' }
              : { mode: 'mapped', clientRef }
        )
      }
    },
    async rows(table, order = 'external_id') {
      return (
        await sql<any>`select t.*, t.xmin::text || '/' || t.ctid::text as version from ${database.t[table]} t order by ${sql.ref(order)}`.execute(
          database.db
        )
      ).rows
    },
    async items(runId) {
      return (await app.rmm.sync.items('t1', runId, { limit: 200 })).items
    },
    async told() {
      const rows = await scripted.rows('outbox', 'seq')
      return rows.map(row => `${row.type} ${row.payload.externalId ?? ''}`.trim())
    }
  }
  if (mapped) {
    await scripted.sync({ resources: ['organizations'] })
    await scripted.map({ g1: 'c1' })
  }
  script.pulls.length = 0
  return scripted
}
