import {
  ConflictError,
  ConnectionDisconnectedError,
  NotFoundError,
  PlanExpiredError,
  TransportError,
  ValidationError
} from '../../errors.ts'
import type { Rmm } from '../../rmm.ts'
import type { RmmProvider } from '../../providers/define.ts'
import type { RunHandle, SyncExecutor, SyncTransport } from './transport.ts'
import {
  type ResourceName,
  resourceNames,
  type Run,
  type RunKind,
  type RunTrigger,
  type SyncRequest
} from '../../types.ts'
import type { Core } from '../core.ts'
import type { ReRead } from './reread.ts'
import { createWatch } from './watch.ts'
import {
  activeRun,
  type ConnectionRow,
  deleteQueuedRun,
  findRun,
  insertRun,
  plannedChanges,
  writeResult,
  knownDeviceIds,
  listRunItems,
  listRuns,
  rehomeRun,
  requestCancel,
  requireConnection,
  type RunRow,
  toRun,
  writeActivity
} from '../store/index.ts'

export type SyncService = Rmm['sync'] & {
  /** Starts, or attaches to, the one active run of a connection. */
  request(row: ConnectionRow, request: SyncRequest, trigger: RunTrigger): Promise<{ run: Run; deduplicated: boolean }>
  /** Gives a waiting run to its transport (again). */
  dispatch(handle: RunHandle & { transport: string }): Promise<'dispatched' | 'owned'>
}

function handleOf(run: Pick<RunRow, 'id' | 'tenant_id' | 'connection_id' | 'provider'>): RunHandle {
  return { runId: run.id, tenantId: run.tenant_id, connectionId: run.connection_id, provider: run.provider }
}

export function createSync(
  core: Core,
  executor: SyncExecutor,
  transportOf: (provider: string) => SyncTransport,
  transports: ReadonlyMap<string, SyncTransport>,
  reread: ReRead
): SyncService {
  const { database } = core
  const { t } = database

  async function find(tenantId: string, runId: string): Promise<RunRow> {
    const run = await findRun(database, tenantId, runId)
    if (run === null) throw new NotFoundError('Run')
    return run
  }

  async function request(
    row: ConnectionRow,
    input: SyncRequest,
    trigger: RunTrigger
  ): Promise<{ run: Run; deduplicated: boolean }> {
    const provider = await requireReady(row)
    const resources = resourcesOf(provider, input)
    const transport = transportOf(row.provider)
    for (let attempt = 0; attempt < 5; attempt++) {
      const inserted = await insert(row, { ...input, resources }, trigger, transport)
      if (inserted !== null) return { run: await launch(inserted, transport), deduplicated: false }
      const active = await activeRun(database.db, t, row.id)
      // It may have ended between the two statements: then there is room for a new one.
      if (active === null) continue
      // One that waits for a time the platform named is left waiting.
      const waits = active.not_before !== null && new Date(active.not_before as string) > core.now()
      if (active.status !== 'running' && !waits)
        await dispatch({ ...handleOf(active), transport: active.transport }).catch(error =>
          core.log.warn({ err: error, runId: active.id }, 'dispatch failed')
        )
      return { run: toRun(active), deduplicated: true }
    }
    throw new ConflictError('Runs of this connection start and end faster than this request could join one; try again')
  }

  /** Starts a run that is no sync. It does not join another: what it is to do is its own. */
  async function begin(row: ConnectionRow, work: Work): Promise<{ run: Run }> {
    await requireReady(row)
    const transport = transportOf(row.provider)
    const inserted = await insert(row, work, 'manual', transport)
    if (inserted !== null) return { run: await launch(inserted, transport) }
    const active = await activeRun(database.db, t, row.id)
    throw new ConflictError(
      `${active === null ? 'A run' : `The run ${active.id} (${active.kind})`} of this connection is under way; wait for its end, or cancel it`
    )
  }

  async function requireReady(row: ConnectionRow): Promise<RmmProvider> {
    if (row.status === 'disconnected' || row.sealed_secrets === null) throw new ConnectionDisconnectedError()
    return await core.registry.require(row.provider, row.tenant_id)
  }

  async function insert(
    row: ConnectionRow,
    input: Work,
    trigger: RunTrigger,
    transport: SyncTransport
  ): Promise<RunRow | null> {
    return await database.transaction(async trx => {
      const run = await insertRun(trx, t, {
        tenantId: row.tenant_id,
        connectionId: row.id,
        provider: row.provider,
        trigger,
        actor: trigger === 'manual' ? core.actors.current() : null,
        resources: input.resources,
        mode: input.mode ?? 'full',
        force: input.force ?? false,
        transport: transport.kind,
        kind: input.kind ?? 'sync',
        request: input.request ?? null
      })
      if (run !== null && trigger === 'manual')
        await writeActivity(trx, t, row.tenant_id, {
          type: 'RMM_SYNC_STARTED',
          target: { connectionId: row.id, runId: run.id },
          summary: saying(run, row.name)
        })
      if (run !== null)
        await transport.dispatch?.(handleOf(run), database.hostTransaction(trx)).catch(error => {
          throw unreachable(transport, error)
        })
      return run
    })
  }

  /** An engine that cannot be reached leaves no orphan behind. */
  async function launch(run: RunRow, transport: SyncTransport): Promise<Run> {
    try {
      await transport.afterCommit?.(handleOf(run), { dispatched: transport.dispatch !== undefined })
    } catch (error) {
      await deleteQueuedRun(database, run.id)
      throw unreachable(transport, error)
    }
    return toRun(run)
  }

  /** A run of a transport that this host no longer registers would wait for ever: the one in its place executes it. */
  async function homeOf(run: RunHandle & { transport: string }): Promise<SyncTransport> {
    const home = transports.get(run.transport)
    if (home !== undefined) return home
    const transport = transportOf(run.provider)
    core.log.info(
      { runId: run.runId, from: run.transport, to: transport.kind },
      'the transport of a waiting run is not registered any more; another takes it over'
    )
    await rehomeRun(database, run.runId, transport.kind)
    return transport
  }

  async function dispatch(run: RunHandle & { transport: string }): Promise<'dispatched' | 'owned'> {
    const transport = await homeOf(run)
    if (await transport.owns(run)) return transport.durable ? 'owned' : 'dispatched'
    await transport.afterCommit?.(run)
    return 'dispatched'
  }

  const watch = createWatch(find)

  return {
    request,
    dispatch,
    watch,
    async start(tenantId, connectionId, input = {}) {
      const row = await requireConnection(database, tenantId, connectionId)
      const { plan, ...sync } = input
      if (!plan) return await request(row, sync, 'manual')
      const provider = await requireReady(row)
      return {
        ...(await begin(row, { ...sync, kind: 'plan', resources: resourcesOf(provider, sync) })),
        deduplicated: false
      }
    },
    async device(tenantId, connectionId, externalId) {
      const row = await requireConnection(database, tenantId, connectionId)
      const transport = transportOf(row.provider)
      // What the platform says of a device is not the doing of who asked for it, wherever it is read.
      return await core.actors.run(null, () =>
        transport.device === undefined
          ? reread.device(row, externalId)
          : transport.device({ tenantId, connectionId: row.id, provider: row.provider, externalId })
      )
    },
    async handOver(tenantId, connectionId, input = {}) {
      const row = await requireConnection(database, tenantId, connectionId)
      const { deviceIds } = input
      if (deviceIds !== undefined) {
        const known = await knownDeviceIds(database, row.id, deviceIds)
        if (deviceIds.some(id => !known.has(id))) throw new NotFoundError('Device')
      }
      return await begin(row, { kind: 'handover', resources: ['devices'], request: input })
    },
    async apply(tenantId, planId, { only, except } = {}) {
      const plan = await find(tenantId, planId)
      requirePlan(plan, core.now())
      const planned = new Set((await plannedChanges(database, planId)).map(({ id }) => id))
      if (planned.size === 0 && plan.result?.appliedAt !== undefined)
        throw new ConflictError('This plan was applied already; make a new one')
      for (const id of [...(only ?? []), ...(except ?? [])]) if (!planned.has(id)) throw new NotFoundError('Change')
      const row = await requireConnection(database, tenantId, plan.connection_id)
      const { mode, force, resources } = plan
      const request = { planId, ...(only === undefined ? {} : { only }), ...(except === undefined ? {} : { except }) }
      const begun = await begin(row, { kind: 'apply', mode, force, resources, request })
      await writeResult(database.db, t, planId, { appliedAt: core.now().toISOString() })
      return begun
    },
    async runs(tenantId, connectionId, query) {
      await requireConnection(database, tenantId, connectionId)
      return await listRuns(database, tenantId, { ...query, connectionId })
    },
    allRuns: (tenantId, query) => listRuns(database, tenantId, query),
    async get(tenantId, runId) {
      return toRun(await find(tenantId, runId))
    },
    async items(tenantId, runId, query) {
      await find(tenantId, runId)
      return await listRunItems(database, tenantId, runId, query)
    },
    async cancel(tenantId, runId) {
      const flagged = await database.transaction(async trx => {
        const run = await requestCancel(trx, t, tenantId, runId)
        if (run !== null)
          await writeActivity(trx, t, tenantId, {
            type: 'RMM_SYNC_CANCELLED',
            target: { connectionId: run.connection_id, runId },
            summary: 'Asked a run to end'
          })
        return run
      })
      const run = flagged ?? (await find(tenantId, runId))
      if (flagged !== null)
        await transports
          .get(flagged.transport)
          ?.cancel(handleOf(flagged))
          .catch(error => core.log.debug({ err: error, runId }, 'cancel hint failed'))
      // Nobody is working on it who could notice the flag.
      if (flagged !== null && flagged.status !== 'running') await executor.settleFailed(runId, null, 'cancelled')
      return toRun(flagged === null ? run : await find(tenantId, runId))
    },
    async settled(tenantId, runId, signal = core.signal) {
      let run: Run | undefined
      for await (run of watch(tenantId, runId, signal)) if (run.finishedAt !== null) return run
      signal.throwIfAborted()
      throw new NotFoundError('Run')
    }
  }
}

/** What is asked for and the provider has. */
function resourcesOf(provider: RmmProvider, input: SyncRequest): ResourceName[] {
  const asked = input.resources ?? resourceNames
  const resources = resourceNames.filter(name => asked.includes(name) && provider.resources[name] !== undefined)
  if (resources.length === 0)
    throw new ValidationError(`${provider.name} has none of the resources asked for (${asked.join(', ')})`)
  return resources
}

function requirePlan({ kind, status, result }: RunRow, now: Date): void {
  if (kind !== 'plan') throw new ConflictError(`This run is a ${kind}, not a plan; start one with plan: true`)
  if (status !== 'succeeded' || result?.plan === undefined)
    throw new ConflictError(`This plan is ${status}; only one that succeeded can be applied`)
  if (new Date(result.plan.expiresAt) <= now) throw new PlanExpiredError()
}

/** What a run is to do. */
type Work = SyncRequest & { resources: Run['resources']; kind?: RunKind; request?: object | null }

function saying({ kind, mode, resources, force }: RunRow, name: string): string {
  if (kind === 'plan') return `Planned a sync of "${name}"`
  if (kind === 'apply') return `Applied a plan to "${name}"`
  if (kind === 'handover') return `Started to hand over the devices of "${name}" again`
  return `Started ${mode === 'full' ? 'a full' : 'an incremental'} sync of "${name}" (${resources.join(', ')})${force ? ', confirming a mass removal' : ''}`
}

function unreachable(transport: SyncTransport, error: unknown): Error {
  // The transport has said it in its own words.
  if (error instanceof TransportError) return error
  return Object.assign(
    new TransportError(`The sync engine '${transport.kind}' cannot be reached; nothing was started, try again later`),
    { cause: error }
  )
}
