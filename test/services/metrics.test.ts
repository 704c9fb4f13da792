import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { Registry } from 'prom-client'
import t from 'tap'
import { callbackSink, type RmmChannels } from '../../src/index.ts'
import { createMetrics } from '../../src/metrics.ts'
import { build, connectLevel, fakeLevel, syncNow } from '../helper.ts'
import { event, post, rotateHook, settled } from './inbound/hook-helper.ts'
import { until } from '../until.ts'

t.test('a sync, a webhook and a sink show in the channels and in the metrics', async t => {
  const seen: { [Name in keyof RmmChannels]: Array<RmmChannels[Name]> } = {
    'rmm-sync:run': [],
    'rmm-sync:page': [],
    'rmm-sync:request': [],
    'rmm-sync:delivery': [],
    'rmm-sync:sink': [],
    'rmm-sync:duty': []
  }
  for (const name of Object.keys(seen) as Array<keyof RmmChannels>) {
    const listener = (message: unknown): void => {
      seen[name].push(message as never)
    }
    subscribe(name, listener)
    t.teardown(() => {
      unsubscribe(name, listener)
    })
  }
  const fake = await fakeLevel(t, { devices: 120, groups: 3 })
  const lines: string[] = []
  let down = false
  const host = await build(t, {
    events: [
      callbackSink(
        () => {
          if (down) throw new Error('down')
        },
        { name: 'out' }
      )
    ],
    fastify: {
      logger: {
        level: 'info',
        stream: {
          write: (line: string) => {
            lines.push(line)
          }
        }
      }
    }
  })
  const registry = new Registry()
  const metrics = createMetrics({ registry, rmm: host.app.rmm })
  host.app.rmm.events.on('*', () => {})
  const id = await connectLevel(host, fake)
  const run = await syncNow(host, id)
  await until(() => seen['rmm-sync:run'].some(({ phase }) => phase === 'ended'))
  t.match(seen['rmm-sync:run'], [
    {
      phase: 'started',
      runId: run.id,
      connectionId: id,
      tenantId: 't1',
      provider: 'levelio',
      trigger: 'manual',
      mode: 'full',
      status: null
    },
    { phase: 'ended', runId: run.id, status: 'succeeded', durationMs: Number }
  ])
  t.equal(
    seen['rmm-sync:page']
      .filter(({ resource }) => resource === 'devices')
      .reduce((sum, { outcomes }) => sum + outcomes.unmapped, 0),
    120
  )
  t.ok(
    seen['rmm-sync:request'].length >= 4 &&
      seen['rmm-sync:request'].every(
        ({ connectionId, status, waitedMs }) => connectionId === id && status === 200 && waitedMs >= 0
      )
  )

  const hook = await rotateHook(host, id)
  const body = event('device_updated', { id: fake.devices.ids()[0], note: 'PAYLOAD-MARK' })
  await post(host, hook.path, body, hook.secret)
  await post(host, hook.path, body, hook.secret)
  await post(host, hook.path, body, 'wrong')
  await settled(host, id)
  await until(() => seen['rmm-sync:delivery'].some(({ phase }) => phase === 'settled'))
  t.match(seen['rmm-sync:delivery'], [
    { phase: 'received', outcome: 'stored', connectionId: id, eventType: 'device_updated' },
    { phase: 'received', outcome: 'duplicate' },
    { phase: 'refused' },
    { phase: 'settled', outcome: 'done', attempts: 1 }
  ])
  down = true
  await post(host, hook.path, event('moon_landed', { id: 'x' }), hook.secret)
  await until(() => seen['rmm-sync:sink'].some(({ error }) => error === 'down'))
  t.notMatch(JSON.stringify(seen), 'PAYLOAD-MARK')

  const text = await registry.metrics()
  for (const line of [
    'rmm_runs_total{provider="levelio",trigger="manual",status="succeeded"} 1',
    'rmm_devices_total{provider="levelio",outcome="unmapped"} 120',
    'rmm_records_total{provider="levelio",resource="organizations"} 3',
    'rmm_deliveries_total{provider="levelio",outcome="stored"} 1',
    'rmm_deliveries_total{provider="levelio",outcome="duplicate"} 1',
    'rmm_deliveries_total{provider="unknown",outcome="refused"} 1',
    'rmm_deliveries_total{provider="levelio",outcome="done"} 1',
    'rmm_outbox_pending{sink="out"} 1',
    'rmm_inbox_pending 0',
    'rmm_inbox_dead 0'
  ])
    t.ok(text.includes(`${line}\n`), line)
  for (const pattern of [
    /rmm_requests_total\{provider="levelio",method="GET",status="200"\} \d+/,
    /rmm_page_commit_seconds_count\{provider="levelio",resource="devices"\} [1-9]/,
    /rmm_rate_limit_wait_seconds_total\{provider="levelio"\} [\d.e-]+/,
    /rmm_run_seconds_count\{provider="levelio"\} 1/,
    /rmm_sink_failures_total\{sink="out"\} [1-9]/,
    /rmm_sink_events_total\{sink="emitter"\} [1-9]/,
    /rmm_outbox_oldest_age_seconds\{sink="out"\} [\d.e-]+/,
    /rmm_inbox_oldest_age_seconds 0/,
    /rmm_duty_seconds_count\{duty="inbox"\} [1-9]/,
    /rmm_duty_late_seconds\{duty="schedules:direct"\} [\d.e-]+/,
    /rmm_duty_start_timestamp_seconds\{duty="relay:out"\} [1-9]/,
    /rmm_duty_end_timestamp_seconds\{duty="listeners"\} [1-9]/
  ])
    t.match(text, pattern)
  t.notMatch(text, id, 'no label names a connection')

  metrics.close()
  await syncNow(host, id)
  t.ok(
    (await registry.metrics()).includes('rmm_runs_total{provider="levelio",trigger="manual",status="succeeded"} 1\n'),
    'after close nothing is counted'
  )
  t.throws(() => createMetrics({ registry }), 'the same names twice')
  t.equal(typeof createMetrics({ registry, prefix: 'other_' }).close(), 'undefined')
  const ours = lines
    .map(line => JSON.parse(line) as Record<string, unknown>)
    .filter(
      line =>
        line['plugin'] === 'rmm-sync' && line['msg'] !== 'the sink did not take its events; they stay in the outbox'
    )
  t.ok(
    ours.every(line => line['connectionId'] !== undefined || line['runId'] !== undefined),
    'log lines say what they are about'
  )
  t.notMatch(lines.join(''), 'PAYLOAD-MARK')
})

t.test('what the database says about a row does not reach the log', async t => {
  const { errorForLog } = await import('../../src/log.ts')
  const cause = Object.assign(new Error('invalid input'), {
    code: '22P02',
    detail: 'Failing row contains (SECRET)',
    where: 'JSON data, line 1: SECRET',
    parameters: ['SECRET'],
    table: 'rmm_delivery'
  })
  const logged = errorForLog(new Error('page failed', { cause })) as { cause: object }
  t.match(logged, {
    type: 'Error',
    message: 'page failed',
    stack: /page failed/,
    cause: { message: 'invalid input', code: '22P02', table: 'rmm_delivery' }
  })
  t.notMatch(JSON.stringify(logged), 'SECRET')
  t.equal(errorForLog('text'), 'text')
})
