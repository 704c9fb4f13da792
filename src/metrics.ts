import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { Counter, Gauge, Histogram, type Registry } from 'prom-client'
import type { Rmm } from './rmm.ts'
import type {
  DeliveryMessage,
  DutyMessage,
  PageMessage,
  RequestMessage,
  RmmChannels,
  RunMessage,
  SinkMessage
} from './services/diagnostics.ts'

export interface MetricsOptions {
  /** The host's prom-client registry; nothing is added to the global one. */
  registry: Registry
  /** @default 'rmm_' */
  prefix?: string
  /**
   * `app.rmm`: with it the depth and age of inbox and outbox are read at every scrape. @default those gauges are left
   * out
   */
  rmm?: { events: Pick<Rmm['events'], 'lag'>; webhooks: Pick<Rmm['webhooks'], 'backlog'> }
}

export interface Metrics {
  /** Stops counting. The registry keeps what was counted. */
  close(): void
}

const seconds = (ms: number) => ms / 1000
const runBuckets = [1, 5, 15, 60, 300, 900, 3600]
const requestBuckets = [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30]
const pageBuckets = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5]

/**
 * Metrics for Prometheus, fed by the `rmm-sync:*` diagnostics channels of this process. No label names a tenant, a
 * connection or a device.
 *
 * - `runs_total{provider,trigger,status}`, `run_seconds{provider}`: attempts at runs that ended here
 * - `page_commit_seconds{provider,resource}`, `records_total{provider,resource}`, `devices_total{provider,outcome}`
 * - `requests_total{provider,method,status}` (`status` is `none` without an answer), `request_seconds{provider}`,
 * `rate_limit_wait_seconds_total{provider}`
 * - `deliveries_total{provider,outcome}`: stored, duplicate, ignored, unusable, refused, done, retried, dead
 * - `sink_events_total{sink}`, `sink_failures_total{sink}`, `sink_publish_seconds{sink}`
 * - `duty_seconds{duty}`, `duty_failures_total{duty}`, `duty_late_seconds{duty}` (how late its last turn began),
 * `duty_start_timestamp_seconds{duty}`, `duty_end_timestamp_seconds{duty}` (of its last turn; a start that is newer than
 * the end for long is a duty that hangs). Duties: see docs/running-at-scale.md
 * - with `rmm`: `inbox_pending`, `inbox_oldest_age_seconds`, `inbox_dead`, `outbox_pending{sink}`,
 * `outbox_oldest_age_seconds{sink}`
 *
 * @throws where the registry has metrics of these names already (call it once, or give another `prefix`)
 */
export function createMetrics({ registry, prefix = 'rmm_', rmm }: MetricsOptions): Metrics {
  const registers = [registry]
  const counter = (name: string, help: string, labelNames: string[]) =>
    new Counter({ name: prefix + name, help, labelNames, registers })
  const histogram = (name: string, help: string, labelNames: string[], buckets: number[]) =>
    new Histogram({ name: prefix + name, help, labelNames, buckets, registers })
  const gauge = (name: string, help: string, labelNames: string[]) =>
    new Gauge({ name: prefix + name, help, labelNames, registers })
  const handlers = {
    'rmm-sync:run': countRuns(counter, histogram),
    'rmm-sync:page': countPages(counter, histogram),
    'rmm-sync:request': countRequests(counter, histogram),
    'rmm-sync:delivery': countDeliveries(counter),
    'rmm-sync:sink': countSinks(counter, histogram),
    'rmm-sync:duty': watchDuties(counter, histogram, gauge)
  } satisfies { [Name in keyof RmmChannels]: (message: RmmChannels[Name]) => void }
  const entries = Object.entries(handlers).map(
    ([name, handle]) => [name, (message: unknown) => handle(message as never)] as const
  )
  for (const [name, handle] of entries) subscribe(name, handle)
  if (rmm !== undefined) collectDepths(rmm, prefix, registry)
  return {
    close() {
      for (const [name, handle] of entries) unsubscribe(name, handle)
    }
  }
}

type MakeCounter = (name: string, help: string, labelNames: string[]) => Counter
type MakeHistogram = (name: string, help: string, labelNames: string[], buckets: number[]) => Histogram

function countRuns(counter: MakeCounter, histogram: MakeHistogram): (message: RunMessage) => void {
  const runs = counter('runs_total', 'Attempts at runs that ended, by outcome', ['provider', 'trigger', 'status'])
  const duration = histogram('run_seconds', 'Time of attempts at runs that ended', ['provider'], runBuckets)
  return ({ phase, provider, trigger, status, durationMs }) => {
    if (phase === 'started') return
    runs.inc({ provider, trigger, status: status ?? 'yielded' })
    if (phase === 'ended') duration.observe({ provider }, seconds(durationMs))
  }
}

function countPages(counter: MakeCounter, histogram: MakeHistogram): (message: PageMessage) => void {
  const duration = histogram(
    'page_commit_seconds',
    'Time of the transactions that commit pages',
    ['provider', 'resource'],
    pageBuckets
  )
  const records = counter('records_total', 'Records read from platforms', ['provider', 'resource'])
  const devices = counter('devices_total', 'Devices read from platforms, by what became of them', [
    'provider',
    'outcome'
  ])
  return ({ provider, resource, records: count, outcomes, durationMs }) => {
    duration.observe({ provider, resource }, seconds(durationMs))
    records.inc({ provider, resource }, count)
    if (resource !== 'devices') return
    for (const [outcome, count] of Object.entries(outcomes)) if (count > 0) devices.inc({ provider, outcome }, count)
  }
}

function countRequests(counter: MakeCounter, histogram: MakeHistogram): (message: RequestMessage) => void {
  const requests = counter('requests_total', 'Requests to platforms, every attempt', ['provider', 'method', 'status'])
  const duration = histogram(
    'request_seconds',
    'Time from sending a request to its last byte',
    ['provider'],
    requestBuckets
  )
  const waits = counter('rate_limit_wait_seconds_total', 'Time requests waited for the rate limit', ['provider'])
  return ({ provider, method, status, durationMs, waitedMs }) => {
    requests.inc({ provider, method, status: status === null ? 'none' : String(status) })
    duration.observe({ provider }, seconds(durationMs))
    waits.inc({ provider }, seconds(Math.max(0, waitedMs)))
  }
}

function countDeliveries(counter: MakeCounter): (message: DeliveryMessage) => void {
  const deliveries = counter('deliveries_total', 'Webhooks by what became of them', ['provider', 'outcome'])
  return message => {
    if (message.phase === 'refused') deliveries.inc({ provider: 'unknown', outcome: 'refused' })
    else deliveries.inc({ provider: message.provider, outcome: message.outcome })
  }
}

function countSinks(counter: MakeCounter, histogram: MakeHistogram): (message: SinkMessage) => void {
  const events = counter('sink_events_total', 'Events taken by sinks', ['sink'])
  const failures = counter('sink_failures_total', 'Batches that a sink did not take', ['sink'])
  const duration = histogram('sink_publish_seconds', 'Time a sink needed for a batch', ['sink'], requestBuckets)
  return ({ sink, events: count, durationMs, error }) => {
    events.inc({ sink }, count)
    if (error !== null) failures.inc({ sink })
    duration.observe({ sink }, seconds(durationMs))
  }
}

type MakeGauge = (name: string, help: string, labelNames: string[]) => Gauge

function watchDuties(counter: MakeCounter, histogram: MakeHistogram, gauge: MakeGauge): (message: DutyMessage) => void {
  const duration = histogram(
    'duty_seconds',
    'Time of the turns of the duties of this process',
    ['duty'],
    requestBuckets
  )
  const failures = counter('duty_failures_total', 'Turns of duties that failed', ['duty'])
  const late = gauge('duty_late_seconds', 'How long after its time the last turn of a duty began', ['duty'])
  const started = gauge('duty_start_timestamp_seconds', 'When the last turn of a duty began', ['duty'])
  const ended = gauge('duty_end_timestamp_seconds', 'When the last turn of a duty ended', ['duty'])
  return ({ duty, phase, lateMs, durationMs, error }) => {
    if (phase === 'started') {
      late.set({ duty }, seconds(lateMs))
      started.set({ duty }, seconds(Date.now()))
      return
    }
    ended.set({ duty }, seconds(Date.now()))
    duration.observe({ duty }, seconds(durationMs))
    if (error !== null) failures.inc({ duty })
  }
}

/**
 * Read from the database when Prometheus asks: the same in every process, so take the maximum, not the sum, over
 * them.
 */
function collectDepths(rmm: NonNullable<MetricsOptions['rmm']>, prefix: string, registry: Registry): void {
  const gauge = (name: string, help: string, labelNames: string[], collect: (this: Gauge) => Promise<void>) =>
    new Gauge({ name: prefix + name, help, labelNames, registers: [registry], collect })
  // A registry asks all its gauges at once: those of one read share it.
  let inbox: ReturnType<typeof rmm.webhooks.backlog> | undefined
  const backlog = () =>
    (inbox ??= rmm.webhooks.backlog().finally(() => {
      inbox = undefined
    }))
  let outbox: ReturnType<typeof rmm.events.lag> | undefined
  const lag = () =>
    (outbox ??= rmm.events.lag().finally(() => {
      outbox = undefined
    }))
  gauge('inbox_pending', 'Deliveries that wait to be worked on', [], async function () {
    this.set((await backlog()).pending)
  })
  gauge('inbox_oldest_age_seconds', 'Age of the oldest delivery that waits', [], async function () {
    this.set(seconds((await backlog()).oldestAgeMs ?? 0))
  })
  gauge('inbox_dead', 'Deliveries that were given up', [], async function () {
    this.set((await backlog()).dead)
  })
  gauge('outbox_pending', 'Events a sink has not taken', ['sink'], async function () {
    for (const { sink, pending } of await lag()) this.set({ sink }, pending)
  })
  gauge('outbox_oldest_age_seconds', 'Age of the oldest event a sink has not taken', ['sink'], async function () {
    for (const { sink, oldestAgeMs } of await lag()) this.set({ sink }, seconds(oldestAgeMs ?? 0))
  })
}
