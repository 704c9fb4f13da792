import { sql } from 'kysely'
import type { Test } from 'tap'
import {
  account,
  type Bench,
  bench,
  ended,
  eventsOf,
  mapAll,
  midway,
  pagesOf,
  startDevices,
  startWorkers,
  stateOf
} from './conformance.ts'
import type { Kind } from './setup.ts'
import { stays, until } from '../until.ts'

const perPage = 10
const devices = 400
const latencyMs = 50

/** What happened to a run whose worker was taken away: everything was read once, and told once. */
async function readOnce(t: Test, on: Bench, id: string, runId: string, what: string): Promise<void> {
  t.match(await ended(on, runId), { status: 'succeeded', totals: { created: devices, updated: 0, unchanged: 0 } })
  const pages = await pagesOf(on, id, { devices, perPage })
  t.comment(`${what}: pages lost ${pages.lost}, repeated ${pages.repeated}`)
  t.strictSame(pages, { lost: 0, repeated: 0 }, 'no page lost, none committed twice')
  t.strictSame(await eventsOf(on, id, runId), {
    RMM_SYNC_STARTED: 1,
    RMM_SYNC_COMPLETED: 1,
    RMM_DEVICE_CREATED: devices
  })
}

/**
 * What a transport has to do when runs are executed by other processes than the one that starts them, and these die.
 */
export async function manyProcesses(t: Test, kind: Kind): Promise<void> {
  const on = await bench(t, kind, { worker: false })
  const workers = await startWorkers(t, on, 2)
  const prepared = async (t: Test): Promise<string> => {
    const { id } = await account(t, on, { devices, perPage, latencyMs })
    await mapAll(on, id)
    return id
  }
  const respawn = async (t0: Test): Promise<void> => {
    for (const [pid, worker] of await startWorkers(t0, on, 1)) workers.set(pid, worker)
  }

  await t.test('a worker that is killed: another goes on from the last page', async t2 => {
    const id = await prepared(t2)
    const run = await startDevices(on, id)
    const { pid } = await midway(on, run.id, 12)
    const killed = Date.now()
    workers.get(pid)!.kill('SIGKILL')
    workers.delete(pid)
    await until('the take-over', async () => (await stateOf(on, run.id)).attempt === 2)
    t2.comment(`${kind}: taken over after ${((Date.now() - killed) / 1000).toFixed(1)} s`)
    await readOnce(t2, on, id, run.id, `${kind}, SIGKILL`)
    await respawn(t)
  })

  await t.test('a worker that freezes and wakes after the take-over is fenced off', async t => {
    const id = await prepared(t)
    const run = await startDevices(on, id)
    const { pid } = await midway(on, run.id, 12)
    workers.get(pid)!.kill('SIGSTOP')
    const frozen = Date.now()
    // Temporal goes on handing tasks to the requests that the frozen process has open, for a minute at most.
    await until('the take-over', async () => (await stateOf(on, run.id)).attempt === 2, 120_000)
    t.comment(`${kind}: a frozen worker's run taken over after ${((Date.now() - frozen) / 1000).toFixed(1)} s`)
    workers.get(pid)!.kill('SIGCONT')
    await readOnce(t, on, id, run.id, `${kind}, SIGSTOP`)
    t.match(await stateOf(on, run.id), { fence: 2, failures: 0 }, 'and did not take the run back')
    // The one that woke up is as good as new.
    const other = [...workers.keys()].find(other => other !== pid)!
    workers.get(other)!.kill('SIGKILL')
    workers.delete(other)
    const { id: next } = await account(t, on)
    t.match(await ended(on, (await startDevices(on, next)).id), { status: 'succeeded' })
  })
  await respawn(t)

  await t.test('a worker that is stopped hands over at a page, which costs no attempt', async t2 => {
    const id = await prepared(t2)
    const run = await startDevices(on, id)
    const { pid } = await midway(on, run.id, 12)
    const stopped = Date.now()
    workers.get(pid)!.kill('SIGTERM')
    const goesOn = until('the other worker', async () => (await stateOf(on, run.id)).attempt === 2)
    t2.equal(await workers.get(pid)!.ended, 0)
    t2.comment(`${kind}: stopped after ${Date.now() - stopped} ms`)
    workers.delete(pid)
    await goesOn
    t2.comment(`${kind}: went on elsewhere ${Date.now() - stopped} ms after the signal`)
    await readOnce(t2, on, id, run.id, `${kind}, SIGTERM`)
    t2.match(await stateOf(on, run.id), { attempt: 2, failures: 0 })
    await respawn(t)
  })

  const killOne = async (on: Bench, runId: string, attempt: number, pages: number): Promise<void> => {
    const { pid } = await until(`attempt ${attempt}`, async () => {
      const state = await stateOf(on, runId)
      return state.attempt === attempt && state.status === 'running' && state.pages >= pages
        ? { pid: Number(state.worker.split(':')[1]) }
        : null
    })
    workers.get(pid)!.kill('SIGKILL')
    workers.delete(pid)
    await respawn(t)
  }

  await t.test(
    'B7: workers that die one after the other cost no attempt, as long as the run gets further',
    async t2 => {
      const id = await prepared(t2)
      const run = await startDevices(on, id)
      for (const attempt of [1, 2, 3]) await killOne(on, run.id, attempt, attempt * 7)
      await readOnce(t2, on, id, run.id, `${kind}, three workers killed`)
      t2.match(await stateOf(on, run.id), { attempt: 4, failures: 0 })
    }
  )

  await t.test('a run that kills every worker before it gets anywhere fails once', async t2 => {
    const { id, fake } = await account(t2, on, { devices, perPage })
    fake.fail({ path: '/v2/devices', kind: 'no-answer', times: Infinity })
    const run = await startDevices(on, id)
    for (const attempt of [1, 2, 3]) await killOne(on, run.id, attempt, 0)
    t2.match(await ended(on, run.id), { status: 'failed', error: { code: 'RMM_ERR_TRANSPORT', message: /^3 workers/ } })
    t2.match(await eventsOf(on, id, run.id), { RMM_SYNC_STARTED: 1, RMM_SYNC_FAILED: 1 })
    fake.heal()
    t2.match(await ended(on, (await startDevices(on, id)).id), { status: 'succeeded', totals: { unmapped: devices } })
  })

  await t.test('schedules from the tickers of several processes: no tick twice, none missed', async t => {
    const { fake } = await account(t, on)
    const ids = await Promise.all(
      Array.from({ length: 8 }, async (_, n) => {
        const { body } = await on.host.call('t1', 'POST', '/connections', {
          provider: 'levelio',
          name: `due ${n}`,
          config: { baseUrl: fake.url },
          secrets: { apiKey: fake.apiKey },
          allowDuplicate: true,
          schedule: { enabled: true }
        })
        return body.connection.id as string
      })
    )
    const { db, t: tables } = on.database
    await sql`update ${tables.connection} set next_sync_at = now() where id = any(${ids}::uuid[])`.execute(db)
    const counts = await until('every connection to be synced', async () => {
      const { rows } = await sql<{
        count: number
      }>`select count(*)::int as count from ${tables.run} where connection_id = any(${ids}::uuid[]) and trigger = 'schedule' and status = 'succeeded' group by connection_id`.execute(
        db
      )
      return rows.length === ids.length ? rows.map(({ count }) => count) : null
    })
    t.strictSame(
      counts,
      ids.map(() => 1)
    )
    await stays('one run each', 1_000, async () => {
      const { rows } = await sql<{
        n: number
      }>`select count(*)::int as n from ${tables.run} where connection_id = any(${ids}::uuid[])`.execute(db)
      return rows[0]!.n === ids.length
    })
  })
}
