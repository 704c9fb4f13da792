import { waitAtMost } from '../../waits.ts'
import type { Client, Connection, ConnectionOptions } from '@temporalio/client'
import type { NativeConnection } from '@temporalio/worker'
import { OptionError, TransportError } from '../../errors.ts'
import type { DeviceSyncResult } from '../../types.ts'
import { loadPeer } from '../peer.ts'
import type { DeviceHandle, RunHandle, SyncTransport } from '../../services/sync/index.ts'
import type { SyncInput, SyncLimits } from './activities.ts'
import type { RunningWorker } from './worker.ts'

export interface TemporalTransportOptions {
  /** `host:port` of the server's frontend. @default '127.0.0.1:7233' */
  address?: string
  /** Passed through to the SDK's connections: `true`, or certificates for mTLS. */
  tls?: ConnectionOptions['tls']
  /** Passed through to the SDK's connections. */
  apiKey?: string
  /** A client of the host, used instead of one of our own; its namespace is taken over. Never closed. */
  client?: Client
  /** A connection of the host for our client. Never closed. */
  connection?: Connection
  /** A connection of the host for the worker. Never closed. */
  nativeConnection?: NativeConnection
  /** @default the client's, or 'default' */
  namespace?: string
  /** @default 'rmm-sync' */
  taskQueue?: string
  /**
   * False: this process only starts workflows and needs no @temporalio/worker. @default true, where the plugin's
   * worker is enabled
   */
  worker?: boolean
  /** Silence after which a worker counts as dead, milliseconds, 5 000 to 120 000. @default 60000 */
  heartbeatMs?: number
  /** Longest segment of a run, milliseconds; a run may have any number of them. @default 3600000 */
  startToCloseMs?: number
}

const known = [
  'address',
  'tls',
  'apiKey',
  'client',
  'connection',
  'nativeConnection',
  'namespace',
  'taskQueue',
  'worker',
  'heartbeatMs',
  'startToCloseMs'
]
const defaultAddress = '127.0.0.1:7233'
/** A server that does not answer by then is away. */
const rpcMs = 5_000
/** A person waits for a single device. */
const deviceMs = 30_000

function refuse(option: string, value: unknown, fix: string): never {
  throw new OptionError(`temporalTransport: option '${option}' is ${JSON.stringify(value)}: ${fix}`)
}

function checkOptions(options: TemporalTransportOptions): void {
  const unknown = Object.keys(options).find(key => !known.includes(key))
  if (unknown !== undefined)
    throw new OptionError(`temporalTransport: option '${unknown}' is unknown; it knows ${known.join(', ')}`)
  for (const [name, min, max] of [
    ['heartbeatMs', 5_000, 120_000],
    ['startToCloseMs', 60_000, 86_400_000]
  ] as const) {
    const value = options[name]
    if (value !== undefined && !(Number.isInteger(value) && value >= min && value <= max))
      refuse(name, value, `it must be a whole number of milliseconds from ${min} to ${max}`)
  }
  for (const name of ['address', 'namespace', 'taskQueue', 'apiKey'] as const) {
    if (options[name] !== undefined && (typeof options[name] !== 'string' || options[name] === ''))
      refuse(name, name === 'apiKey' ? '…' : options[name], 'it must be a text')
  }
  if (options.client !== undefined && options.connection !== undefined)
    throw new OptionError('temporalTransport: pass client or connection, not both')
  const foreign = options.client ?? options.connection
  if (
    foreign !== undefined &&
    options.worker !== false &&
    options.nativeConnection === undefined &&
    options.address === undefined
  ) {
    throw new OptionError(
      'temporalTransport: a worker cannot use the connection of a client: pass nativeConnection or address too, or worker: false'
    )
  }
}

/** Where both connections lead, without what was not given. */
function target(options: TemporalTransportOptions): {
  address: string
  tls?: NonNullable<ConnectionOptions['tls']>
  apiKey?: string
} {
  const { address = defaultAddress, tls, apiKey } = options
  return { address, ...(tls === undefined || tls === null ? {} : { tls }), ...(apiKey === undefined ? {} : { apiKey }) }
}

/**
 * Executes runs as Temporal workflows, one per run (`@temporalio/client` 1.24, and `@temporalio/worker` where they
 * are executed). Workflow ids are `<provider>:sync:<tenant>:<connection>:<run>` and
 * `<provider>:device:<tenant>:<connection>:<device>`.
 *
 * @throws `RMM_ERR_OPTION` for options that cannot work
 */
export function temporalTransport(options: TemporalTransportOptions = {}): SyncTransport {
  checkOptions(options)
  const taskQueue = options.taskQueue ?? 'rmm-sync'
  const limits: SyncLimits = {
    startToCloseMs: options.startToCloseMs ?? 3_600_000,
    heartbeatMs: options.heartbeatMs ?? 60_000,
    maxAttempts: 2
  }
  let sdk: typeof import('@temporalio/client') | undefined
  let client: Client | undefined
  let ownConnection: Connection | undefined
  let worker: RunningWorker | undefined

  function opened(): { sdk: NonNullable<typeof sdk>; client: Client } {
    if (sdk === undefined || client === undefined) throw new Error('the transport was not opened')
    return { sdk, client }
  }

  function inTime<T>(call: (client: Client) => Promise<T>): Promise<T> {
    const { client } = opened()
    return client.withDeadline(Date.now() + rpcMs, () => call(client))
  }

  async function start(run: RunHandle): Promise<void> {
    const input: SyncInput = {
      run: { runId: run.runId, tenantId: run.tenantId, connectionId: run.connectionId, provider: run.provider },
      limits
    }
    await inTime(client =>
      client.workflow.start('rmmSync', {
        // A run that has ended does nothing when it is started again: its row says so. One that was lost must be
        // allowed to.
        taskQueue,
        workflowId: workflowId(run),
        args: [input],
        workflowIdConflictPolicy: 'USE_EXISTING',
        workflowIdReusePolicy: 'ALLOW_DUPLICATE'
      })
    )
  }

  async function device(handle: DeviceHandle): Promise<DeviceSyncResult> {
    const { sdk } = opened()
    const id = `${handle.provider}:device:${handle.tenantId}:${handle.connectionId}:${handle.externalId}`
    try {
      const started = await inTime(client =>
        client.workflow.start('rmmDeviceSync', {
          taskQueue,
          workflowId: id,
          args: [handle],
          workflowExecutionTimeout: deviceMs,
          workflowIdConflictPolicy: 'USE_EXISTING',
          workflowIdReusePolicy: 'ALLOW_DUPLICATE'
        })
      )
      return (await started.result()) as DeviceSyncResult
    } catch (error) {
      throw deviceError(sdk, error)
    }
  }

  return {
    kind: 'temporal',
    durable: true,
    async open({ maxAttempts }) {
      limits.maxAttempts = maxAttempts
      const loaded = (sdk = await loadPeer(
        'temporal',
        '@temporalio/client@1.24 @temporalio/common@1.24',
        () => import('@temporalio/client')
      ))
      // Connects with the first call: a server that is away does not keep the host from starting.
      const connect = (): Connection =>
        (ownConnection = loaded.Connection.lazy({ ...target(options), connectTimeout: rpcMs }))
      client =
        options.client ??
        new loaded.Client({ connection: options.connection ?? connect(), namespace: options.namespace ?? 'default' })
    },
    async afterCommit(run) {
      await start(run)
    },
    device,
    async cancel(run) {
      await inTime(client => client.workflow.getHandle(workflowId(run)).cancel())
    },
    async owns(run) {
      const { sdk } = opened()
      try {
        const { status } = await inTime(client => client.workflow.getHandle(workflowId(run)).describe())
        return status.name === 'RUNNING'
      } catch (error) {
        if (error instanceof sdk.WorkflowNotFoundError) return false
        throw error
      }
    },
    async startWorker(executor, worked) {
      if (options.worker === false) return
      const { startTemporalWorker } = await loadPeer(
        'temporal',
        '@temporalio/worker@1.24 @temporalio/activity@1.24 @temporalio/workflow@1.24',
        () => import('./worker.ts')
      )
      worker = startTemporalWorker(
        executor,
        {
          connection: options.nativeConnection ?? target(options),
          namespace: options.namespace ?? opened().client.options.namespace,
          taskQueue
        },
        worked
      )
    },
    async stop({ graceMs }) {
      await waitAtMost(graceMs, worker?.stop())
      await ownConnection?.close()
    }
  }
}

function workflowId(run: RunHandle): string {
  return `${run.provider}:sync:${run.tenantId}:${run.connectionId}:${run.runId}`
}

/** The route's own error out of the failure it travelled in, or the one that says that the engine did not answer. */
function deviceError(sdk: typeof import('@temporalio/client'), error: unknown): Error {
  let cause: unknown = error
  for (; cause instanceof Error; cause = cause.cause) {
    if (!(cause instanceof sdk.ApplicationFailure) || cause.type?.startsWith('RMM_ERR_') !== true) continue
    return Object.assign(new Error(cause.message), {
      code: cause.type,
      statusCode: (cause.details?.[0] as number | undefined) ?? 500
    })
  }
  const message =
    "The sync engine 'temporal' did not answer: the server cannot be reached, or no worker is running; try again later"
  return Object.assign(new TransportError(message), { cause: error })
}
