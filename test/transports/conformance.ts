import { sql } from 'kysely'
import type { Test } from 'tap'
import type { EventSink, Run } from '../../src/index.ts'
import { type Database, openDatabase } from '../../src/services/store/database.ts'
import type { FakeLevel } from '../../src/testing/index.ts'
import { build, connectLevel, databaseUrl, fakeLevel, type Host, testSchema, openOrm } from '../helper.ts'
import { startWorkerProcess, type WorkerProcess } from './processes.ts'
import { engine, type Installation, type Kind, transportsOf } from './setup.ts'
import { until } from '../until.ts'

/**
 * What the cases of one transport share: a host and, for those that need it, worker processes around the same
 * database.
 */
export interface Bench {
  installation: Installation
  host: Host
  database: Database
}

/** A host of a new installation. `worker: false`: it starts runs, others execute them. */
export async function bench(
  t: Test,
  kind: Kind,
  { worker, events = [] }: { worker: boolean; events?: EventSink[] }
): Promise<Bench> {
  const installation: Installation = {
    kind,
    schema: testSchema(),
    databaseUrl: databaseUrl ?? '',
    temporalAddress: process.env['TEMPORAL_ADDRESS'] ?? ''
  }
  const orm = await openOrm(t, installation.schema)
  const { db } = await openDatabase(orm, installation.schema)
  t.teardown(async () => {
    for (const schema of [installation.schema, `${installation.schema}_queue`])
      await sql`drop schema if exists ${sql.id(schema)} cascade`.execute(db)
    if (databaseUrl) await orm.close()
  })
  const host = await build(t, {
    on: { orm, schema: installation.schema },
    transports: transportsOf(installation, { orm }),
    transport: kind,
    worker: { enabled: worker },
    events,
    engine
  })
  return { installation, host, database: await openDatabase(orm, installation.schema) }
}

/** An account whose pages come slowly enough to be interrupted, with every device mapped to a client. */
export async function account(
  t: Test,
  { host }: Bench,
  { devices = 40, perPage = 10, latencyMs = 0 } = {}
): Promise<{ id: string; fake: FakeLevel; devices: number }> {
  const fake = await fakeLevel(t, { devices, groups: 1, maxLimit: perPage, latencyMs })
  for (const id of fake.devices.ids()) fake.devices.move(id, fake.groups.ids()[0]!)
  return { id: await connectLevel(host, fake), fake, devices }
}

/**
 * Maps the account's groups, so that its devices are handed to the host and told as created. Needs somebody who
 * executes runs.
 */
export async function mapAll({ host }: Bench, id: string): Promise<void> {
  const { run } = await host.app.rmm.sync.start('t1', id, { resources: ['organizations'] })
  await host.app.rmm.sync.settled('t1', run.id)
  const { items } = await host.app.rmm.organizations.list('t1', id, { limit: 200 })
  await host.app.rmm.organizations.map(
    't1',
    id,
    items.map(item => ({ organizationId: item.id, mode: 'mapped', clientRef: 'c1' }))
  )
}

export const startDevices = async ({ host }: Bench, id: string): Promise<Run> =>
  (await host.app.rmm.sync.start('t1', id, { resources: ['devices'] })).run
export const ended = async ({ host }: Bench, runId: string): Promise<Run> =>
  await host.app.rmm.sync.settled('t1', runId)

export interface RunState {
  status: string
  worker: string
  attempt: number
  failures: number
  fence: number
  transport: string
  pages: number
}

export async function stateOf({ database: { db, t } }: Bench, runId: string): Promise<RunState> {
  const { rows } = await sql<
    RunState & { progress: Run['progress'] }
  >`select status, worker, attempt::int, failures::int, fence::int, transport, progress from ${t.run} where id = ${runId}`.execute(
    db
  )
  const { progress, ...state } = rows[0]!
  return { ...state, pages: progress.reduce((sum, { pages }) => sum + pages, 0) }
}

/** The pages a run committed: those that no attempt did, and those that more than one did. */
export async function pagesOf(
  { database: { db, t } }: Bench,
  connectionId: string,
  expected: { devices: number; perPage: number }
): Promise<{ lost: number; repeated: number }> {
  const { rows } = await sql<{
    seen: string[]
  }>`select seen from ${t.page} where connection_id = ${connectionId} and resource = 'devices'`.execute(db)
  const distinct = new Set(rows.filter(({ seen }) => seen.length > 0).map(({ seen }) => [...seen].sort().join()))
  const committed = rows.filter(({ seen }) => seen.length > 0).length
  return { lost: Math.ceil(expected.devices / expected.perPage) - distinct.size, repeated: committed - distinct.size }
}

/** How often each event of a run, and of its connection's devices, was written. */
export async function eventsOf(
  { database: { db, t } }: Bench,
  connectionId: string,
  runId: string
): Promise<Record<string, number>> {
  const { rows } = await sql<{ type: string; count: number }>`select type, count(*)::int as count from ${t.outbox}
    where connection_id = ${connectionId} and (payload->>'runId' = ${runId} or type = 'RMM_DEVICE_CREATED') group by type`.execute(
    db
  )
  return Object.fromEntries(rows.map(({ type, count }) => [type, count]))
}

/** Waits until a run has committed some pages, and tells which process executes it. */
export async function midway(bench: Bench, runId: string, pages: number): Promise<RunState & { pid: number }> {
  const state = await until(`page ${pages} of the run`, async () => {
    const now = await stateOf(bench, runId)
    return now.pages >= pages && now.status === 'running' ? now : null
  })
  return { ...state, pid: Number(state.worker.split(':')[1]) }
}

/** Worker processes by pid. */
export async function startWorkers(
  t: Test,
  { installation }: Bench,
  count: number
): Promise<Map<number, WorkerProcess>> {
  const workers = await Promise.all(Array.from({ length: count }, () => startWorkerProcess(t, installation)))
  return new Map(workers.map(worker => [worker.pid, worker]))
}
