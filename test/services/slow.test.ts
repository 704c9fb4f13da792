import { sql } from 'kysely'
import t, { type Test } from 'tap'
import { callbackSink } from '../../src/index.ts'
import type { HostOptions } from '../helper.ts'
import { type Script, scriptedHost } from './scripted.ts'
import { until } from '../until.ts'

/** Something that hangs until the test says otherwise. */
function gate() {
  const { promise, resolve } = Promise.withResolvers<void>()
  let calls = 0
  return {
    get calls() {
      return calls
    },
    /** Waits for `open`, or for the signal. */
    async pass(signal?: AbortSignal): Promise<void> {
      calls++
      await Promise.race([
        promise,
        new Promise((_resolve, reject) => signal?.addEventListener('abort', () => reject(signal.reason)))
      ])
    },
    open: resolve
  }
}

/** A host with a connection of `t1`, and another of `t2` on the same platform. */
async function twoTenants(t: Test, options: HostOptions & { script?: Script } = {}) {
  const h = await scriptedHost(t, options)
  const { connection } = await h.app.rmm.connections.create('t2', { provider: 'scripted', secrets: { apiKey: 'k' } })
  const { t: tables, db } = h.database
  return {
    ...h,
    other: connection.id,
    async due(connectionId = connection.id): Promise<void> {
      await sql`update ${tables.connection} set schedule_enabled = true, next_sync_at = now() where id = ${connectionId}`.execute(
        db
      )
    },
    scheduled: () =>
      until(async () =>
        (await h.app.rmm.sync.runs('t2', connection.id)).items.find(run => run.trigger === 'schedule' && run.finishedAt)
      )
  }
}

t.test('a sink that hangs holds up neither due syncs, nor the runs of a killed process, nor another sink', async t => {
  const stuck = gate()
  const heard: string[] = []
  t.teardown(() => stuck.open())
  const h = await twoTenants(t, {
    events: [
      callbackSink((_events, signal) => stuck.pass(signal), { name: 'slow' }),
      callbackSink(
        events => {
          heard.push(...events.map(({ type }) => type))
        },
        { name: 'good' }
      )
    ]
  })
  await until(() => stuck.calls > 0)
  const pending = async (name: string) => (await h.app.rmm.events.lag()).find(({ sink }) => sink === name)?.pending ?? 0
  const before = await pending('slow')
  t.ok(before > 0)

  await h.due()
  t.match(await h.scheduled(), { status: 'succeeded' })
  const { rows } = await sql<{
    id: string
  }>`insert into ${h.database.t.run} (tenant_id, connection_id, provider, trigger, resources, mode, transport, status, worker, lease_until)
    values ('t1', ${h.connectionId}, 'scripted', 'manual', '["devices"]', 'full', 'direct', 'running', 'killed', now() + interval '500 milliseconds') returning id`.execute(
    h.database.db
  )
  t.match(
    await h.app.rmm.sync.settled('t1', rows[0]!.id),
    { status: 'succeeded' },
    'taken over when its lease was over'
  )
  await until(async () => (await pending('good')) === 0)
  t.ok(heard.filter(type => type === 'RMM_SYNC_COMPLETED').length >= 3)
  t.equal(stuck.calls, 1, 'all of that while the first call of the slow one was under way')
  t.ok((await pending('slow')) >= before, 'and it had taken nothing')
})
