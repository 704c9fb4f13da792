import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { sql } from 'kysely'
import t from 'tap'
import { openDatabase } from '../../src/services/store/database.ts'
import { build, connectLevel, databaseUrl, fakeLevel, syncNow } from '../helper.ts'
import { pause, until } from '../until.ts'
import { freePort } from '../ports.ts'

const kills = 30
const perRound = 5

t.test(
  'a host killed 30 times under webhooks processes every event once',
  {
    timeout: 420_000,
    skip: databaseUrl
      ? false
      : 'PGlite lives in one process: killing the host needs a PostgreSQL beside it (set TEST_DATABASE_URL)'
  },
  async t => {
    // The platform waits over two minutes between its three attempts, which a host is back in; here both are seconds.
    const fake = await fakeLevel(t, { devices: 10, groups: 2, webhookRetryDelayMs: 4_000 })
    const keeper = await build(t, { worker: { enabled: false } })
    const id = await connectLevel(keeper, fake)
    const { db, t: tables } = await openDatabase(keeper.orm, keeper.schema)
    const port = await freePort()
    const { url, secret } = await keeper.app.rmm.webhooks.rotate('t1', id)
    fake.webhooks.add({ url: `http://127.0.0.1:${port}${new URL(url).pathname}`, secret })

    const load = (): ChildProcess =>
      fork(
        new URL('hook-host.ts', import.meta.url),
        [JSON.stringify({ url: databaseUrl, schema: keeper.schema, port })],
        { execArgv: [], stdio: ['ignore', 'ignore', 'inherit', 'ipc'] }
      )
    async function says(host: ChildProcess, wanted: string): Promise<void> {
      const [message] = await Promise.race([
        once(host, 'message'),
        once(host, 'exit').then(([code]) => [`ended with ${String(code)}`])
      ])
      if (message !== wanted) throw new Error(`the host ${String(message)}`)
    }
    // The next host loads while this one serves: an outage is as short as that of a real service manager.
    let child: ChildProcess
    let next = load()
    let nextLoaded = says(next, 'loaded')
    async function start(): Promise<void> {
      child = next
      await nextLoaded
      const listening = says(child, 'listening')
      child.send('listen')
      await listening
      next = load()
      nextLoaded = says(next, 'loaded')
      nextLoaded.catch(() => {})
    }
    async function kill(): Promise<void> {
      if (child.exitCode !== null || child.signalCode !== null) return
      child.kill('SIGKILL')
      await once(child, 'exit')
    }
    t.teardown(async () => {
      next.kill('SIGKILL')
      await kill()
    })
    await start()
    await syncNow(keeper, id)

    const devices = fake.devices.ids()
    let sent = 0
    for (let round = 0; round < kills; round++) {
      for (let n = 0; n < perRound; n++) {
        const device = devices[sent++ % devices.length]!
        if (n === 0) fake.alerts.trigger(device, { name: `Alert ${sent}` }, { emit: true })
        else fake.devices.patch(device, { nickname: `Name ${sent}` }, { emit: true })
        await pause(Math.random() * 60)
      }
      // Somewhere in: accepting, waiting for the burst to end, re-reading, settling.
      await pause(Math.random() * 1_000)
      await kill()
      await start()
      if (round % 10 === 9) t.comment(`killed ${round + 1} times`)
    }
    await fake.webhooks.idle()
    const unheard = fake.webhooks.deliveries.filter(({ delivered }) => !delivered)
    t.comment(
      `${sent} events, ${unheard.length} given up by the sender after three attempts and sent again by hand, ${fake.webhooks.deliveries.reduce((sum, { attempts }) => sum + attempts.length, 0)} attempts`
    )
    for (const { event } of unheard) await fake.webhooks.rerun(event.event_id)

    await until(async () => (await keeper.app.rmm.webhooks.backlog()).pending === 0)
    const events = [...new Set(fake.webhooks.deliveries.map(({ event }) => event.event_id))].sort()
    const { rows: stored } = await sql<{
      event_id: string
      status: string
    }>`select event_id, status from ${tables.delivery} order by event_id`.execute(db)
    t.strictSame(stored.map(row => row.event_id).sort(), events, 'every event is stored once')
    t.strictSame([...new Set(stored.map(row => row.status))], ['done'], 'and was worked on')
    const { rows: told } = await sql<{
      event: string
      times: string | number
    }>`select payload->>'eventId' as event, count(*) as times from ${tables.outbox} where type = 'RMM_WEBHOOK_RECEIVED' group by 1`.execute(
      db
    )
    t.strictSame(told.map(({ event }) => event).sort(), events, 'the host hears of every event')
    t.ok(
      told.every(({ times }) => Number(times) === 1),
      'once'
    )
    const { rows: triggered } = await sql<{
      times: string | number
    }>`select count(*) as times from ${tables.outbox} where type = 'RMM_ALERT_TRIGGERED' group by payload->>'externalId'`.execute(
      db
    )
    t.ok(
      triggered.length >= kills && triggered.every(({ times }) => Number(times) === 1),
      'every alert was triggered once'
    )
    const { items } = await keeper.app.rmm.inventory.list('t1', { limit: 50 })
    for (const item of items)
      t.equal(
        item.displayName,
        fake.devices.get(item.externalId)!.nickname ?? item.displayName,
        'the inventory is what the platform has'
      )
    await until(async () => (await keeper.app.rmm.events.lag()).every(({ pending }) => pending === 0))
  }
)
