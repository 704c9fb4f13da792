import { sql } from 'kysely'
import { NotFoundError } from '../../errors.ts'
import type { Connection, List, MovePolicy, CountedQuery, Schedule } from '../../types.ts'
import { shownConfig } from '../model/index.ts'
import { all, limitOf, readCursor, toList, withTotal } from './cursor.ts'
import type { Database, Db, Tables } from './database.ts'
import { nudgeListener } from './listeners.ts'
import type { RunRow } from './runs/runs.ts'
import { isId, iso, isoOrNull } from './values.ts'

export interface ConnectionRow {
  id: string
  tenant_id: string
  provider: string
  name: string
  config: Record<string, unknown>
  sealed_secrets: string | null
  revision: number
  status: Connection['status']
  status_reason: string | null
  account: string | null
  state: Record<string, unknown>
  move_policy: MovePolicy
  hook_key: string
  hook_secret: string | null
  hook_secret_previous: string | null
  hook_previous_until: unknown
  schedule_enabled: boolean
  every_minutes: number
  full_every_minutes: number
  next_sync_at: unknown
  connected_at: unknown
  last_sync_at: unknown
  last_full_sync_at: unknown
  last_scheduled_sync_at: unknown
  created_at: unknown
}

interface CountedRow extends ConnectionRow {
  run_status: string | null
  run_error: { message: string } | null
  counts: Record<keyof Connection['counts'], number>
  live: { since: unknown; lastError: string | null } | null
}

const syncStatus: Record<string, Connection['syncStatus']> = {
  queued: 'queued',
  running: 'running',
  interrupted: 'queued',
  succeeded: 'completed',
  partial: 'completed',
  failed: 'failed',
  cancelled: 'idle'
}

/** Secrets have no column in this selection: what is not read cannot leak. */
function toConnection(row: CountedRow): Connection {
  return {
    id: row.id,
    provider: row.provider,
    name: row.name,
    config: shownConfig(row.config),
    status: row.status,
    statusReason: row.status_reason,
    account: row.account,
    connectedAt: isoOrNull(row.connected_at),
    lastSyncAt: isoOrNull(row.last_sync_at),
    lastFullSyncAt: isoOrNull(row.last_full_sync_at),
    lastScheduledSyncAt: isoOrNull(row.last_scheduled_sync_at),
    syncStatus: row.run_status === null ? 'idle' : syncStatus[row.run_status]!,
    syncError: row.run_status === 'failed' || row.run_status === 'partial' ? (row.run_error?.message ?? null) : null,
    schedule: {
      enabled: row.schedule_enabled,
      everyMinutes: Number(row.every_minutes),
      fullEveryMinutes: Number(row.full_every_minutes)
    },
    movePolicy: row.move_policy,
    live: row.live === null ? null : { since: isoOrNull(row.live.since), lastError: row.live.lastError },
    mappingStatus: row.counts.brokenMappings > 0 ? 'broken' : 'ok',
    counts: row.counts
  }
}

function select(t: Tables) {
  return sql`
    select c.id, c.tenant_id, c.provider, c.name, c.config, c.status, c.status_reason, c.account, c.move_policy, c.schedule_enabled, c.every_minutes, c.full_every_minutes,
      c.connected_at, c.last_sync_at, c.last_full_sync_at, c.last_scheduled_sync_at, c.created_at, run.status as run_status, run.error as run_error,
      jsonb_build_object('organizations', o.total, 'mappedOrganizations', o.mapped, 'devices', d.total, 'mappedDevices', d.mapped, 'unmappedDevices', d.total - d.mapped,
        'onlineDevices', d.online, 'activeAlerts', (select count(*) from ${t.alert} a where a.connection_id = c.id and a.status = 'active'), 'brokenMappings', o.broken) as counts,
      (select jsonb_build_object('since', case when e.lease_until > now() then li.since end, 'lastError', li.last_error) from ${t.listener} li
        left join ${t.lease} e on e.name = 'listen:' || li.connection_id and e.worker = li.worker where li.connection_id = c.id and c.status <> 'disconnected') as live
    from ${t.connection} c
    left join lateral (select r.status, r.error from ${t.run} r where r.connection_id = c.id order by r.queued_at desc, r.id desc limit 1) run on true
    cross join lateral (select count(*) as total, count(*) filter (where o.mode = 'mapped') as mapped, count(*) filter (where o.broken) as broken from ${t.organization} o where o.connection_id = c.id and o.removed_at is null) o
    cross join lateral (select count(*) as total, count(d.client_ref) as mapped, count(*) filter (where s.online) as online
      from ${t.device} d left join ${t.device_status} s on s.device_id = d.id where d.connection_id = c.id and d.removed_at is null) d`
}

export async function listConnections(
  { db, t }: Database,
  tenantId: string,
  query: CountedQuery & { provider?: string } = {}
): Promise<List<Connection>> {
  const limit = limitOf(query)
  const after = readCursor(query.cursor, ['time', 'id'])
  const conditions = [sql`c.tenant_id = ${tenantId}`]
  if (query.provider !== undefined) conditions.push(sql`c.provider = ${query.provider}`)
  const { rows } = await sql<CountedRow>`${select(t)} where ${all(conditions)}
    ${after === null ? sql`` : sql`and (c.created_at, c.id) > (${after[0]}::timestamptz, ${after[1]}::uuid)`}
    order by c.created_at, c.id limit ${limit + 1}`.execute(db)
  const list = toList(rows, limit, toConnection, row => [iso(row.created_at), row.id])
  return await withTotal(db, query, list, sql`${t.connection} c`, conditions)
}

export async function findConnection({ db, t }: Database, tenantId: string, id: string): Promise<Connection | null> {
  if (!isId(id)) return null
  const { rows } = await sql<CountedRow>`${select(t)} where c.id = ${id} and c.tenant_id = ${tenantId}`.execute(db)
  return rows[0] ? toConnection(rows[0]) : null
}

/** The row with its sealed secrets, for those who have to open them. */
export async function connectionRow({ db, t }: Database, tenantId: string, id: string): Promise<ConnectionRow | null> {
  if (!isId(id)) return null
  const { rows } =
    await sql<ConnectionRow>`select * from ${t.connection} where id = ${id} and tenant_id = ${tenantId}`.execute(db)
  return rows[0] ?? null
}

/**
 * The same where there is nothing to do without it. Not there and not this tenant's are one error:
 * `RMM_ERR_NOT_FOUND`.
 */
export async function requireConnection(database: Database, tenantId: string, id: string): Promise<ConnectionRow> {
  const row = await connectionRow(database, tenantId, id)
  if (row === null) throw new NotFoundError('Connection')
  return row
}

/** What a look over all tenants' connections needs of each. */
export type ConnectionLook = Pick<ConnectionRow, 'id' | 'tenant_id' | 'provider' | 'config'>

/** All connections, a portion at a time, in order of their ids. */
export async function connectionLooks(
  { db, t }: Database,
  after: string | null,
  limit: number
): Promise<ConnectionLook[]> {
  const { rows } = await sql<ConnectionLook>`select id, tenant_id, provider, config from ${t.connection}
    ${after === null ? sql`` : sql`where id > ${after}::uuid`} order by id limit ${limit}`.execute(db)
  return rows
}

/**
 * A tenant's connections to an account of this name. Until the end of the transaction nobody else looks for one, so
 * that two who connect it at once do not both find none.
 */
export async function connectionsOfAccount(
  trx: Db,
  t: Tables,
  { tenantId, provider, account }: { tenantId: string; provider: string; account: string }
): Promise<Array<Pick<ConnectionRow, 'id' | 'name' | 'status' | 'config'>>> {
  await sql`select pg_advisory_xact_lock(hashtext(${`rmm-account:${provider}:${tenantId}`}))`.execute(trx)
  const { rows } = await sql<Pick<ConnectionRow, 'id' | 'name' | 'status' | 'config'>>`
    select id, name, status, config from ${t.connection}
    where tenant_id = ${tenantId} and provider = ${provider} and account = ${account} order by created_at, id`.execute(
    trx
  )
  return rows
}

export interface NewConnection {
  id: string
  tenantId: string
  provider: string
  name: string
  config: Record<string, unknown>
  sealedSecrets: string
  account: string
  movePolicy: MovePolicy
  hookKey: string
  sealedHookSecret: string | null
  schedule: Schedule
}

export async function insertConnection(trx: Db, t: Tables, c: NewConnection): Promise<void> {
  await sql`insert into ${t.connection} (id, tenant_id, provider, name, config, sealed_secrets, account, move_policy, hook_key, hook_secret, schedule_enabled, every_minutes, full_every_minutes, next_sync_at, connected_at)
    values (${c.id}, ${c.tenantId}, ${c.provider}, ${c.name}, ${JSON.stringify(c.config)}::jsonb, ${c.sealedSecrets}, ${c.account}, ${c.movePolicy}, ${c.hookKey}, ${c.sealedHookSecret},
      ${c.schedule.enabled}, ${c.schedule.everyMinutes}, ${c.schedule.fullEveryMinutes}, ${c.schedule.enabled ? nextSync(c.schedule.everyMinutes) : sql`null`}, now())`.execute(
    trx
  )
}

/** A tenth of the interval as jitter, so that connections made together do not stay in step. */
function nextSync(everyMinutes: number) {
  return sql`now() + ${everyMinutes} * interval '1 minute' * (1 + random() * 0.1)`
}

export interface ConnectionPatch {
  name?: string
  config?: Record<string, unknown>
  sealedSecrets?: string
  account?: string
  movePolicy?: MovePolicy
  schedule?: Schedule
  /** The connection was checked live with these values, beside what the row held at this revision. */
  checkedAt?: number
}

/** False where config or secrets were replaced since the revision that these values were checked with. */
export async function updateConnection(trx: Db, t: Tables, id: string, patch: ConnectionPatch): Promise<boolean> {
  const sets = [sql`updated_at = now()`]
  if (patch.name !== undefined) sets.push(sql`name = ${patch.name}`)
  if (patch.config !== undefined) sets.push(sql`config = ${JSON.stringify(patch.config)}::jsonb`)
  if (patch.sealedSecrets !== undefined) sets.push(sql`sealed_secrets = ${patch.sealedSecrets}`)
  if (patch.account !== undefined) sets.push(sql`account = ${patch.account}`)
  if (patch.movePolicy !== undefined) sets.push(sql`move_policy = ${patch.movePolicy}`)
  if (patch.checkedAt !== undefined)
    sets.push(
      sql`revision = revision + 1, status = 'connected', status_reason = null, connected_at = case when status = 'disconnected' then now() else coalesce(connected_at, now()) end`
    )
  if (patch.schedule !== undefined) {
    const { enabled, everyMinutes, fullEveryMinutes } = patch.schedule
    sets.push(
      sql`schedule_enabled = ${enabled}, every_minutes = ${everyMinutes}, full_every_minutes = ${fullEveryMinutes}, next_sync_at = ${enabled ? nextSync(everyMinutes) : sql`null`}, due_since = null`
    )
  }
  const { rows } = await sql`update ${t.connection} set ${sql.join(sets)} where id = ${id}
    ${patch.checkedAt === undefined ? sql`` : sql`and revision = ${patch.checkedAt}`} returning id`.execute(trx)
  if (rows.length > 0 && patch.checkedAt !== undefined) await forgetSession(trx, t, id)
  return rows.length > 0
}

/** The connection points to another platform: what was begun at the one before is not gone on with. */
export async function leaveFormerPlatform(trx: Db, t: Tables, id: string): Promise<void> {
  await cancelRuns(trx, t, id)
  await sql`delete from ${t.pass} where connection_id = ${id}`.execute(trx)
}

async function cancelRuns(trx: Db, t: Tables, id: string): Promise<void> {
  await sql`update ${t.run} set cancel_requested_at = coalesce(cancel_requested_at, now()) where connection_id = ${id} and status in ('queued', 'running', 'interrupted')`.execute(
    trx
  )
}

/** What logging in brought is good with the config and secrets it was brought with only. */
async function forgetSession(trx: Db, t: Tables, id: string): Promise<void> {
  await sql`delete from ${t.session_value} where connection_id = ${id}`.execute(trx)
}

/** Secrets go, what they brought stays. */
export async function disconnect(trx: Db, t: Tables, id: string): Promise<void> {
  await sql`update ${t.connection} set status = 'disconnected', status_reason = null, sealed_secrets = null, revision = revision + 1, hook_secret = null, hook_secret_previous = null,
    hook_previous_until = null, schedule_enabled = false, next_sync_at = null, due_since = null, updated_at = now() where id = ${id}`.execute(
    trx
  )
  await forgetSession(trx, t, id)
  await cancelRuns(trx, t, id)
}

export async function purge(trx: Db, t: Tables, id: string): Promise<void> {
  await sql`delete from ${t.device_status} s using ${t.device} d where d.id = s.device_id and d.connection_id = ${id}`.execute(
    trx
  )
  await sql`delete from ${t.connection} where id = ${id}`.execute(trx)
}

/** What was found with the config and secrets of `row` says nothing about those that took their place since. */
export async function setStatus(
  { db, t }: Pick<Database, 'db' | 't'>,
  { id, revision }: Pick<ConnectionRow, 'id' | 'revision'>,
  status: 'connected' | 'error',
  reason: string | null
): Promise<void> {
  await sql`update ${t.connection} set status = ${status}, status_reason = ${reason}, updated_at = now()
    where id = ${id} and revision = ${revision} and status <> 'disconnected' and (status <> ${status} or status_reason is distinct from ${reason})`.execute(
    db
  )
}

/**
 * After a run that read something to its end. They are three separate facts, and a failed run advances none of them. A
 * full sync is as old as the oldest page of it.
 */
export async function finishConnection(
  trx: Db,
  t: Tables,
  run: Pick<RunRow, 'connection_id' | 'mode' | 'trigger' | 'resources' | 'status'>
): Promise<void> {
  const full = run.status === 'succeeded' && run.mode === 'full' && run.resources.includes('devices')
  const oldest = sql`coalesce((select least(min(p.observed_at), now()) from ${t.page} p join ${t.pass} s on s.id = p.pass_id
    where s.connection_id = ${run.connection_id} and s.resource = any(${run.resources}::text[])), now())`
  await sql`update ${t.connection} set last_sync_at = now(), last_full_sync_at = case when ${full} then ${oldest} else last_full_sync_at end,
    last_scheduled_sync_at = case when ${run.trigger === 'schedule'} then now() else last_scheduled_sync_at end,
    status = case when status = 'error' then 'connected' else status end, status_reason = null, updated_at = now()
    where id = ${run.connection_id} and status <> 'disconnected'`.execute(trx)
  await nudgeListener(trx, t, run.connection_id)
}

/** For background work, which serves every tenant. */
export async function connectionById({ db, t }: Database, id: string): Promise<ConnectionRow | null> {
  const { rows } = await sql<ConnectionRow>`select * from ${t.connection} where id = ${id}`.execute(db)
  return rows[0] ?? null
}

/** Every tenant's connections to these providers that have what they need to log in. */
export async function connectedTo({ db, t }: Database, providers: readonly string[]): Promise<ConnectionRow[]> {
  const { rows } =
    await sql<ConnectionRow>`select * from ${t.connection} where provider = any(${providers}::text[]) and status <> 'disconnected' and sealed_secrets is not null`.execute(
      db
    )
  return rows
}

/** The secret in force becomes the previous one, good for a while longer, or with 0 minutes none. */
export async function rotateHookSecret(
  db: Db,
  t: Tables,
  id: string,
  sealed: string,
  graceMinutes: number
): Promise<void> {
  const previous =
    graceMinutes > 0
      ? sql`hook_secret_previous = hook_secret, hook_previous_until = now() + ${graceMinutes} * interval '1 minute'`
      : sql`hook_secret_previous = null, hook_previous_until = null`
  await sql`update ${t.connection} set ${previous}, hook_secret = ${sealed}, updated_at = now()
    where id = ${id} and status <> 'disconnected'`.execute(db)
}
