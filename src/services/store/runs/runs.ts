import { sql } from 'kysely'
import type {
  CountedQuery,
  Actor,
  List,
  PlanResult,
  ResourceName,
  ResourceProgress,
  Run,
  RunFilter,
  RunItem,
  RunKind,
  RunStatus,
  RunTotals,
  RunTrigger,
  SyncMode
} from '../../../types.ts'
import { misreadSentence, stableJson } from '../../model/index.ts'
import { all, limitOf, readCursor, toList, withTotal } from '../cursor.ts'
import type { Database, Db, Tables } from '../database.ts'
import { isId, iso, isoOrNull } from '../values.ts'

/** A resource's progress with what only the engine has to know. */
export interface StoredProgress extends ResourceProgress {
  /** Attempts at it that failed. */
  failures?: number
  /** How far any read of it in this run has got: what is read again after a wait is no progress. */
  furthest?: number
  /** Waits the platform asked for since it got any further. */
  waits?: number
  /** Another attempt in this run would end the same way, or there were enough. */
  final?: boolean
  /** Records on its pages that could not be taken. */
  failed?: number
  /** Records that said something else than what is stored, but were older. */
  older?: number
  /** Records that changed; of `updates`, devices whose count did. Devices are counted in the run's totals. */
  changed?: number
  /** Devices that have another client because of it. */
  moved?: number
  /** Records that the host did not take. */
  refused?: number
  /** Devices without a client that are new, or that changed. */
  appeared?: number
  altered?: number
}

export interface RunRow {
  id: string
  tenant_id: string
  connection_id: string
  provider: string
  kind: RunKind
  actor: Actor | null
  trigger: RunTrigger
  resources: ResourceName[]
  mode: SyncMode
  force: boolean
  transport: string
  status: RunStatus
  attempt: number
  /** Workers that died with it since it last got any further. */
  deaths: number
  failures: number
  waits: number
  fence: string | number
  progress: StoredProgress[]
  totals: Partial<RunTotals>
  summary: string | null
  error: Run['error']
  continued_from: unknown
  request: unknown
  result: { plan?: PlanResult; appliedAt?: string } | null
  queued_at: unknown
  started_at: unknown
  finished_at: unknown
  updated_at: unknown
  cancel_requested_at: unknown
  not_before: unknown
}

export const noTotals: RunTotals = { created: 0, updated: 0, unchanged: 0, removed: 0, unmapped: 0, failed: 0 }

export function toRun(row: RunRow): Run {
  return {
    id: row.id,
    connectionId: row.connection_id,
    kind: row.kind,
    actor: row.actor,
    trigger: row.trigger,
    resources: row.resources,
    mode: row.mode,
    transport: row.transport,
    status: row.status,
    queuedAt: iso(row.queued_at),
    startedAt: isoOrNull(row.started_at),
    finishedAt: isoOrNull(row.finished_at),
    progress: row.progress.map(toProgress),
    totals: { ...noTotals, ...row.totals },
    summary: row.summary,
    error: row.error,
    continuedFrom: isoOrNull(row.continued_from),
    plan: row.result?.plan ?? null
  }
}

/** A run of version 0.1 has no status per resource. */
function toProgress({ resource, pages, processed, complete, status, error }: StoredProgress): ResourceProgress {
  return {
    resource,
    pages,
    processed,
    complete,
    status: status ?? (complete ? 'complete' : 'waiting'),
    error: error ?? null
  }
}

export interface NewRun {
  tenantId: string
  connectionId: string
  provider: string
  trigger: RunTrigger
  actor: Actor | null
  resources: ResourceName[]
  mode: SyncMode
  force: boolean
  transport: string
  kind?: RunKind
  request?: object | null
}

/** One active run per connection: a second insert finds the partial unique index and returns null. */
export async function insertRun(trx: Db, t: Tables, run: NewRun): Promise<RunRow | null> {
  const progress = run.resources.map(
    (resource): ResourceProgress => ({
      resource,
      pages: 0,
      processed: 0,
      complete: false,
      status: 'waiting',
      error: null
    })
  )
  const { rows } =
    await sql<RunRow>`insert into ${t.run} (tenant_id, connection_id, provider, trigger, actor, resources, mode, force, transport, progress, totals, kind, request)
    values (${run.tenantId}, ${run.connectionId}, ${run.provider}, ${run.trigger}, ${run.actor === null ? null : JSON.stringify(run.actor)}::jsonb, ${JSON.stringify(run.resources)}::jsonb, ${run.mode}, ${run.force}, ${run.transport}, ${JSON.stringify(progress)}::jsonb, ${JSON.stringify(noTotals)}::jsonb, ${run.kind ?? 'sync'}, ${run.request == null ? null : JSON.stringify(run.request)}::jsonb)
    on conflict (connection_id) where status in ('queued', 'running', 'interrupted') do nothing returning *`.execute(
      trx
    )
  return rows[0] ?? null
}

export async function activeRun(db: Db, t: Tables, connectionId: string): Promise<RunRow | null> {
  const { rows } =
    await sql<RunRow>`select * from ${t.run} where connection_id = ${connectionId} and status in ('queued', 'running', 'interrupted')`.execute(
      db
    )
  return rows[0] ?? null
}

/** A run that could not be given to its engine never was, and nobody started it. */
export async function deleteQueuedRun({ db, t }: Database, runId: string): Promise<void> {
  await sql`with gone as (delete from ${t.run} where id = ${runId} and status = 'queued' and attempt = 0 returning id, tenant_id, queued_at)
    delete from ${t.activity} a using gone where a.tenant_id = gone.tenant_id and a.at >= gone.queued_at and a.target->>'runId' = gone.id::text`.execute(
    db
  )
}

export async function findRun({ db, t }: Database, tenantId: string, id: string): Promise<RunRow | null> {
  if (!isId(id)) return null
  const { rows } = await sql<RunRow>`select * from ${t.run} where id = ${id} and tenant_id = ${tenantId}`.execute(db)
  return rows[0] ?? null
}

/** For the engine, which serves every tenant. */
export async function runById({ db, t }: Database, id: string): Promise<RunRow | null> {
  const { rows } = await sql<RunRow>`select * from ${t.run} where id = ${id}`.execute(db)
  return rows[0] ?? null
}

/** Newest first; of one connection or of all the tenant's. */
export async function listRuns(
  { db, t }: Database,
  tenantId: string,
  query: CountedQuery & RunFilter = {}
): Promise<List<Run>> {
  const limit = limitOf(query)
  const after = readCursor(query.cursor, ['time', 'id'])
  const conditions = [sql`tenant_id = ${tenantId}`]
  if (query.connectionId !== undefined)
    conditions.push(isId(query.connectionId) ? sql`connection_id = ${query.connectionId}` : sql`false`)
  if (query.status !== undefined) conditions.push(sql`status = ${query.status}`)
  if (query.kind !== undefined) conditions.push(sql`kind = ${query.kind}`)
  const { rows } = await sql<RunRow>`select * from ${t.run} where ${all(conditions)}
    ${after === null ? sql`` : sql`and (queued_at, id) < (${after[0]}::timestamptz, ${after[1]}::uuid)`}
    order by queued_at desc, id desc limit ${limit + 1}`.execute(db)
  const list = toList(rows, limit, toRun, row => [iso(row.queued_at), row.id])
  return await withTotal(db, query, list, sql`${t.run}`, conditions)
}

export async function listRunItems(
  { db, t }: Database,
  tenantId: string,
  runId: string,
  query: CountedQuery & { outcome?: RunItem['outcome'] } = {}
): Promise<List<RunItem>> {
  const limit = limitOf(query)
  const after = readCursor(query.cursor, ['number'])
  const conditions = [sql`run_id = ${runId}`, sql`tenant_id = ${tenantId}`]
  if (query.outcome !== undefined) conditions.push(sql`outcome = ${query.outcome}`)
  const { rows } = await sql<{
    id: string | number
    resource: string
    external_id: string | null
    outcome: RunItem['outcome']
    reason: string
    field: string | null
    count: number | null
  }>`
    select id, resource, external_id, outcome, reason, field, count from ${t.run_item} where ${all(conditions)} ${after === null ? sql`` : sql`and id > ${after[0]}::bigint`}
    order by id limit ${limit + 1}`.execute(db)
  const list = toList(
    rows,
    limit,
    row => ({
      resource: row.resource,
      externalId: row.external_id,
      outcome: row.outcome,
      reason: row.field === null ? row.reason : misreadSentence(row.field, Number(row.count), row.reason)
    }),
    row => [String(row.id)]
  )
  return await withTotal(db, query, list, sql`${t.run_item}`, conditions)
}

export async function insertRunItems(
  trx: Db,
  t: Tables,
  run: { id: string; tenantId: string; connectionId: string },
  items: RunItem[]
): Promise<void> {
  if (items.length === 0) return
  await sql`insert into ${t.run_item} (tenant_id, connection_id, run_id, resource, external_id, outcome, reason)
    select ${run.tenantId}, ${run.connectionId}::uuid, ${run.id}::uuid, x.resource, x."externalId", x.outcome, left(x.reason, 2000)
    from jsonb_to_recordset(${stableJson(items)}::jsonb) as x(resource text, "externalId" text, outcome text, reason text)`.execute(
    trx
  )
}

/** How far a run is that reads no pages, committed with what it has done. */
export async function writeRequest(trx: Db, t: Tables, attempt: { runId: string }, request: object): Promise<void> {
  await sql`update ${t.run} set request = ${JSON.stringify(request)}::jsonb where id = ${attempt.runId}`.execute(trx)
}

/** What a read told that is begun again. */
export async function dropRunItems(trx: Db, t: Tables, runId: string, resource: ResourceName): Promise<void> {
  await sql`delete from ${t.run_item} where run_id = ${runId} and resource = ${resource}`.execute(trx)
}

export async function requestCancel(db: Db, t: Tables, tenantId: string, runId: string): Promise<RunRow | null> {
  if (!isId(runId)) return null
  const { rows } =
    await sql<RunRow>`update ${t.run} set cancel_requested_at = coalesce(cancel_requested_at, now()), updated_at = now()
    where id = ${runId} and tenant_id = ${tenantId} and status in ('queued', 'running', 'interrupted') returning *`.execute(
      db
    )
  return rows[0] ?? null
}
