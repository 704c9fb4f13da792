import { sql } from 'kysely'
import type { Health } from '../../types.ts'
import { type Database, tableNames } from './database.ts'
import { outboxLag } from './relay.ts'
import { numberOrNull } from './values.ts'

/** From when on something counts as overdue, in milliseconds. */
export interface Allowances {
  schedulesMs: number
  leaseMs: number
  queueMs: number
}

const ago = (ms: number) => sql`now() - ${ms} * interval '1 millisecond'`

const isStuck = ({
  leaseMs,
  queueMs
}: Allowances) => sql`case when status = 'running' then lease_until < ${ago(leaseMs)}
  else updated_at < ${ago(queueMs)} and coalesce(not_before, queued_at) < now() end`

/** Our tables that are not there, whatever the list of migrations says. */
export async function missingTables({ db, schema }: Database): Promise<string[]> {
  const names = tableNames.map(name => `rmm_${name}`)
  const { rows } = await sql<{ name: string }>`select name from unnest(${names}::text[]) name
    where not exists (select 1 from pg_tables where schemaname = ${schema} and tablename = name) order by name`.execute(
    db
  )
  return rows.map(({ name }) => name)
}

export interface StuckRun {
  id: string
  connectionId: string
  tenantId: string
  status: string
}

/** Runs that nobody works on although somebody should, oldest first. */
export async function stuckRuns({ db, t }: Database, allowances: Allowances, limit: number): Promise<StuckRun[]> {
  const { rows } = await sql<StuckRun>`select id, connection_id as "connectionId", tenant_id as "tenantId", status
    from ${t.run} where status in ('queued', 'running', 'interrupted') and ${isStuck(allowances)}
    order by queued_at, id limit ${limit}`.execute(db)
  return rows
}

/** What waits, of one tenant or of all (null). */
export async function readHealth(
  database: Database,
  tenantId: string | null,
  allowances: Allowances
): Promise<Omit<Health, 'ok' | 'keys'>> {
  const { db, t } = database
  const of = tenantId === null ? sql`true` : sql`tenant_id = ${tenantId}`
  const { schedulesMs } = allowances
  const { rows } = await sql<Record<string, string | number | null>>`select * from
    (select count(*) filter (where due < ${ago(schedulesMs)}) as late, extract(epoch from now() - min(due) filter (where due < ${ago(schedulesMs)})) * 1000 as overdue,
      count(*) filter (where status = 'error') as error
      from (select status, case when schedule_enabled and status <> 'disconnected' then coalesce(due_since, next_sync_at) end as due from ${t.connection} where ${of}) c) connections,
    (select count(*) filter (where status <> 'running') as waiting,
      count(*) filter (where ${isStuck(allowances)}) as stuck
      from ${t.run} where ${of} and status in ('queued', 'running', 'interrupted')) runs,
    (select count(*) as pending, extract(epoch from now() - min(received_at)) * 1000 as oldest from ${t.delivery} where ${of} and status = 'pending') deliveries,
    (select count(*) as dead from ${t.delivery} where ${of} and status = 'dead') dead`.execute(db)
  const row = rows[0]!
  return {
    schedules: { late: Number(row['late']), oldestMs: numberOrNull(row['overdue'] ?? null) },
    runs: { waiting: Number(row['waiting']), stuck: Number(row['stuck']) },
    deliveries: {
      pending: Number(row['pending']),
      dead: Number(row['dead']),
      oldestMs: numberOrNull(row['oldest'] ?? null)
    },
    sinks: (await outboxLag(database, tenantId)).map(({ sink, pending, oldestAgeMs, failures, served }) => ({
      name: sink,
      pending,
      oldestMs: oldestAgeMs,
      failures,
      served
    })),
    connections: { error: Number(row['error']) }
  }
}
