import type { Test } from 'tap'
import { callbackSink } from '../../src/index.ts'
import { event, post, rotateHook } from '../services/inbound/hook-helper.ts'
import { until } from '../until.ts'
import { account, bench, ended, mapAll, startDevices } from './conformance.ts'
import type { Kind } from './setup.ts'

/** What every transport has to do beside a sink that takes nothing, and beside a platform that does not answer. */
export async function slowNeighbours(t: Test, kind: Kind): Promise<void> {
  const stuck = Promise.withResolvers<void>()
  let offered = 0
  const slow = callbackSink(
    async (_events, signal) => {
      offered++
      await Promise.race([
        stuck.promise,
        new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
      ])
    },
    { name: 'slow' }
  )
  const on = await bench(t, kind, { worker: true, events: [slow] })
  const { app } = on.host
  t.teardown(() => stuck.resolve())

  await t.test('a sink that hangs holds up no run', async t => {
    const { id, devices } = await account(t, on)
    await until('the sink to hang', () => offered > 0)
    await mapAll(on, id)
    const run = await startDevices(on, id)
    t.match(await ended(on, run.id), { status: 'succeeded', totals: { created: devices } })
    const lag = (await app.rmm.events.lag()).find(({ sink }) => sink === 'slow')
    t.ok(lag!.pending > devices, `${lag!.pending} events wait for it`)
  })

  await t.test('a platform that does not answer holds up neither runs nor deliveries of others', async t => {
    const silent = await account(t, on)
    await mapAll(on, silent.id)
    const other = await account(t, on)
    await mapAll(on, other.id)
    silent.fake.fail({ path: '/v2/devices', kind: 'no-answer', times: Infinity })
    const hangs = await startDevices(on, silent.id)
    await until('the run that hangs', () => silent.fake.count('/v2/devices') > 0)
    const hooks = [await rotateHook(on.host, silent.id), await rotateHook(on.host, other.id)]
    for (const [n, { fake }] of [silent, other].entries())
      for (const device of fake.devices.ids().slice(0, 20))
        await post(on.host, hooks[n]!.path, event('device_updated', { id: device }), hooks[n]!.secret)
    const run = await startDevices(on, other.id)
    t.match(await ended(on, run.id), { status: 'succeeded' })
    const deliveries = async (id: string) => (await app.rmm.webhooks.deliveries('t1', id, { limit: 200 })).items
    await until('the deliveries of the other', async () =>
      (await deliveries(other.id)).every(({ status }) => status === 'done')
    )
    t.ok(
      (await deliveries(silent.id)).every(({ status }) => status === 'pending'),
      'those of the silent one wait, and are not lost'
    )
    await app.rmm.sync.cancel('t1', hangs.id)
    await ended(on, hangs.id)
    silent.fake.heal()
  })
}
