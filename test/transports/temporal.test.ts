import { readdirSync, readFileSync } from 'node:fs'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { ApplicationFailure, CancelledFailure } from '@temporalio/activity'
import { MockActivityEnvironment } from '@temporalio/testing'
import { bundleWorkflowCode, DefaultLogger, type History, Runtime, Worker } from '@temporalio/worker'
import t from 'tap'
import { NotFoundError } from '../../src/errors.ts'
import type { SegmentContext, SegmentResult, SyncExecutor } from '../../src/index.ts'
import { createActivities, type SyncInput } from '../../src/transports/temporal/worker.ts'

const logger = new DefaultLogger('ERROR')
// One test makes the SDK complain on purpose.
Runtime.install({ logger, shutdownSignals: [], telemetryOptions: { logging: { filter: 'ERROR', forward: {} } } })
const workflowsPath = fileURLToPath(new URL('../../src/transports/temporal/workflows.ts', import.meta.url))
const silent = { info() {}, warn() {}, error() {} }
const input = (limits: Partial<SyncInput['limits']> = {}): SyncInput => ({
  run: { runId: 'r1', tenantId: 't1', connectionId: 'c1', provider: 'levelio' },
  limits: { startToCloseMs: 3_600_000, heartbeatMs: 60_000, maxAttempts: 2, ...limits }
})

/** Activities over an engine that answers as told. */
function over(answers: Partial<SyncExecutor>, stopping = new AbortController()) {
  const executor: SyncExecutor = {
    runSegment: async () => ({ status: 'held' }),
    settleFailed: async () => {},
    device: async () => {
      throw new NotFoundError('Device')
    },
    ...answers
  }
  return createActivities(executor, { concurrency: 1, workerId: 'w1', log: silent }, stopping.signal)
}

const aborted = (signal: AbortSignal) =>
  new Promise<void>(resolve =>
    signal.aborted ? resolve() : signal.addEventListener('abort', () => resolve(), { once: true })
  )
/** An engine that works until it is told to stop, and then hands the run over. */
const untilAborted = async (_runId: string, { signal }: SegmentContext): Promise<SegmentResult> => {
  await aborted(signal)
  return { status: 'yield', reason: 'shutdown', delayMs: 0 }
}

t.test("the activity carries the engine's results across", async t => {
  const cases: Array<[SegmentResult, unknown]> = [
    [
      { status: 'done', state: 'succeeded', error: null },
      { status: 'done', state: 'succeeded' }
    ],
    [
      { status: 'done', state: 'cancelled', error: null },
      { status: 'done', state: 'cancelled' }
    ],
    [
      { status: 'yield', reason: 'retry', delayMs: 1_500 },
      { status: 'yield', delayMs: 1_500 }
    ],
    [{ status: 'held' }, { status: 'held' }]
  ]
  for (const [result, expected] of cases) {
    t.strictSame(
      await new MockActivityEnvironment().run(over({ runSegment: async () => result }).rmmRunSegment, input(), {
        takeOver: false
      }),
      expected
    )
  }
})

t.test('a run that failed for good is a failure that is not retried; a fault of the engine is', async t => {
  const failed = over({
    runSegment: async () => ({
      status: 'done',
      state: 'failed',
      error: { code: 'RMM_ERR_PLATFORM_AUTH', message: 'Level refused the API key' }
    })
  })
  const failure = await new MockActivityEnvironment()
    .run(failed.rmmRunSegment, input(), { takeOver: false })
    .catch((error: unknown) => error)
  t.ok(failure instanceof ApplicationFailure)
  t.match(failure, { nonRetryable: true, type: 'RMM_ERR_PLATFORM_AUTH', message: 'Level refused the API key' })
  await t.rejects(
    new MockActivityEnvironment().run(
      over({
        runSegment: async () => {
          throw new TypeError('bug')
        }
      }).rmmRunSegment,
      input(),
      { takeOver: false }
    ),
    TypeError
  )
})

t.test('a later attempt takes over, and counts itself in its heartbeat', async t => {
  for (const [info, takeOver, begun] of [
    [{ attempt: 1 }, false, 1],
    [{ attempt: 2, heartbeatDetails: 1 }, true, 2],
    [{ attempt: 2 }, true, 1]
  ] as const) {
    const env = new MockActivityEnvironment(info)
    const beats: unknown[] = []
    env.on('heartbeat', detail => beats.push(detail))
    const seen: boolean[] = []
    await env.run(
      over({
        runSegment: async (_id, context) => {
          seen.push(context.takeOver === true)
          return { status: 'held' }
        }
      }).rmmRunSegment,
      input(),
      { takeOver: false }
    )
    t.strictSame({ seen, first: beats[0] }, { seen: [takeOver], first: begun })
  }
})

t.test('a task that its server has given to another does not take the run from it', async t => {
  const env = new MockActivityEnvironment({ attempt: 2 })
  let executed = 0
  env.on('heartbeat', () => env.cancel('NOT_FOUND'))
  await t.rejects(
    env.run(
      over({
        runSegment: async () => {
          executed++
          return { status: 'held' }
        }
      }).rmmRunSegment,
      input(),
      { takeOver: false }
    ),
    CancelledFailure
  )
  t.equal(executed, 0)
})

t.test('a cancel, a stop of the worker and the end of the slice all reach the engine', async t => {
  const handedOver = { status: 'yield', delayMs: 0 }
  const cancelled = new MockActivityEnvironment()
  const running = cancelled.run(over({ runSegment: untilAborted }).rmmRunSegment, input(), { takeOver: false })
  cancelled.cancel()
  t.strictSame(await running, handedOver)
  const stopping = new AbortController()
  const stopped = new MockActivityEnvironment().run(
    over({ runSegment: untilAborted }, stopping).rmmRunSegment,
    input(),
    { takeOver: false }
  )
  stopping.abort()
  t.strictSame(await stopped, handedOver)
  t.strictSame(
    await new MockActivityEnvironment().run(
      over({ runSegment: untilAborted }).rmmRunSegment,
      input({ startToCloseMs: 50 }),
      { takeOver: false }
    ),
    handedOver,
    'a long run yields before its time limit'
  )
})

t.test('a long wait inside the engine does not look like death', async t => {
  const env = new MockActivityEnvironment()
  let beats = 0
  const third = new Promise<void>(resolve =>
    env.on('heartbeat', () => {
      if (++beats === 3) resolve()
    })
  )
  await env.run(
    over({
      runSegment: async () => {
        await third
        return { status: 'held' }
      }
    }).rmmRunSegment,
    input({ heartbeatMs: 40 }),
    { takeOver: false }
  )
  t.equal(beats, 3)
})

t.test("a device's refusal keeps its code and its status on the way", async t => {
  const failure = await new MockActivityEnvironment()
    .run(over({}).rmmSyncDevice, { tenantId: 't1', connectionId: 'c1', provider: 'levelio', externalId: 'x' })
    .catch((error: unknown) => error)
  t.match(failure, { type: 'RMM_ERR_NOT_FOUND', message: 'Device not found', details: [404], nonRetryable: true })
})

t.test('the workflows are deterministic by what they import, and the check would notice', async t => {
  const { code } = await bundleWorkflowCode({ workflowsPath, logger })
  t.match(code, 'rmmSync')
  t.match(code, 'rmmDeviceSync')
  const folder = await workflowFolder(t)
  await writeFile(
    `${folder}/workflows.ts`,
    `import { readFileSync } from 'node:fs'\n${readFileSync(workflowsPath, 'utf8')}\nexport const forbidden = readFileSync`
  )
  const said: string[] = []
  await t.rejects(
    bundleWorkflowCode({
      workflowsPath: `${folder}/workflows.ts`,
      logger: new DefaultLogger('ERROR', ({ message }) => said.push(message))
    })
  )
  t.match(said.join(), /node:fs/, 'and says which import it was')
})

t.test("histories of a real server replay with today's workflows", async t => {
  const folder = new URL('../fixtures/temporal-histories/', import.meta.url)
  const histories = readdirSync(folder).map(name => ({
    name,
    history: JSON.parse(readFileSync(new URL(name, folder), 'utf8')) as History
  }))
  t.ok(histories.length >= 5, `${histories.length} histories`)
  const workflowBundle = await bundleWorkflowCode({ workflowsPath, logger })
  for (const { name, history } of histories)
    await t.resolves(Worker.runReplayHistory({ workflowBundle }, history), name)
  const broken = await bundleWorkflowCode({ workflowsPath: await withTimer(t), logger })
  const [first] = histories.filter(({ name }) => name.startsWith('rmmSync'))
  await t.rejects(
    Worker.runReplayHistory({ workflowBundle: broken }, first!.history),
    { name: 'DeterminismViolationError' },
    'a workflow that waits where it did not before is noticed'
  )
})

/** A folder from which the SDK is found. */
async function workflowFolder(t: { teardown(clean: () => Promise<void>): void }): Promise<string> {
  const cache = fileURLToPath(new URL('../../.cache/', import.meta.url))
  await mkdir(cache, { recursive: true })
  const folder = await mkdtemp(`${cache}workflows-`)
  t.teardown(() => rm(folder, { recursive: true }))
  return folder
}

/** The workflows with a timer at their beginning: what a careless change would do to those that are under way. */
async function withTimer(t: { teardown(clean: () => Promise<void>): void }): Promise<string> {
  const folder = await workflowFolder(t)
  const source = readFileSync(workflowsPath, 'utf8')
  const changed = source.replace(
    "  let outcome: Outcome | 'continue'\n",
    "  let outcome: Outcome | 'continue'\n  await sleep(1_000)\n"
  )
  if (changed === source) throw new Error('the place for the timer is not there any more')
  await writeFile(`${folder}/workflows.ts`, changed)
  return `${folder}/workflows.ts`
}
