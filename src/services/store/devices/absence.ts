import { sql } from 'kysely'
import type { Loss, Worth } from '../../model/index.ts'
import type { Database, Db, Tables } from '../database.ts'
import { observed } from '../observed.ts'
import { type Pass, passesOf } from './passes.ts'

/** What a read that came to its end did not show. */
export interface Unseen extends Omit<Loss, 'lost'> {
  /** External ids of rows older than the read and not seen in it. */
  gone: string[]
}

/** A row written since the start of the read (a webhook's device) is not among what is gone. */
export async function unseen(
  { db, t }: Database,
  connectionId: string,
  pass: Pass,
  resource: 'organizations' | 'devices'
): Promise<Unseen> {
  const started = pass.startedAt.toISOString()
  const ids = sql`any(${passesOf(pass)}::uuid[])`
  const status = resource === 'devices' ? sql`left join ${t.device_status} s on s.device_id = r.id` : sql``
  const touched =
    resource === 'devices'
      ? sql`greatest(${observed(sql`r.observed_at`)}, ${observed(sql`s.observed_at`)})`
      : observed(sql`r.observed_at`)
  const table = resource === 'devices' ? t.device : t.organization
  // `except` hashes both sides whatever the planner believes; a join over arrays that it cannot estimate may go row
  // by row.
  const gone = await sql<{ external_id: string }>`
    with missing as materialized (
      select r.external_id from ${table} r where r.connection_id = ${connectionId} and r.removed_at is null
      except select unnest(p.seen) from ${t.page} p where p.pass_id = ${ids}
    )
    select r.external_id from missing m join ${table} r on r.connection_id = ${connectionId} and r.external_id = m.external_id ${status}
    where ${touched} < ${started}::timestamptz order by r.external_id`.execute(db)
  if (gone.rows.length === 0) return { known: 0, seen: 0, gone: [] }
  return { ...(await countKnown({ db, t }, connectionId, pass, resource)), gone: gone.rows.map(row => row.external_id) }
}

/** The records that were known before the pass, which must not make a loss look small, and those it showed. */
export async function countKnown(
  { db, t }: Pick<Database, 'db' | 't'>,
  connectionId: string,
  pass: Pass,
  resource: 'organizations' | 'devices'
): Promise<{ known: number; seen: number }> {
  const table = resource === 'devices' ? t.device : t.organization
  const ids = sql`any(${passesOf(pass)}::uuid[])`
  const counts = await sql<{
    known: string | number
    seen: string | number
  }>`select (select count(*) from ${table} r where r.connection_id = ${connectionId} and r.removed_at is null
      and r.created_at < coalesce((select min(p.created_at) from ${t.page} p where p.pass_id = ${ids}), now())) as known,
    (select coalesce(sum(cardinality(p.seen)), 0) from ${t.page} p where p.pass_id = ${ids}) as seen`.execute(db)
  return { known: Number(counts.rows[0]!.known), seen: Number(counts.rows[0]!.seen) }
}

/** Which of these are not removed. */
export async function stillThere(
  db: Db,
  t: Tables,
  connectionId: string,
  resource: 'organizations' | 'devices',
  externalIds: readonly string[]
): Promise<Set<string>> {
  const table = resource === 'devices' ? t.device : t.organization
  const { rows } = await sql<{ external_id: string }>`select external_id from ${table}
    where connection_id = ${connectionId} and external_id = any(${externalIds}::text[]) and removed_at is null`.execute(
    db
  )
  return new Set(rows.map(row => row.external_id))
}

/** Records that were on more than one page of this pass. */
export async function repeatedRecords({ db, t }: Database, pass: Pass): Promise<number> {
  const { rows } = await sql<{ repeated: string | number }>`select count(*) as repeated from (
      select u.id from ${t.page} p cross join lateral (select distinct unnest(p.seen)) as u(id) where p.pass_id = ${pass.id} group by u.id having count(*) > 1
    ) twice`.execute(db)
  return Number(rows[0]!.repeated)
}

/** What each organization that was there before the read is worth. */
export async function organizationWorth(
  { db, t }: Database,
  connectionId: string,
  pass: Pass
): Promise<Map<string, Worth>> {
  const { rows } = await sql<{
    external_id: string
    devices: string | number
    decided: boolean
    elsewhere: boolean
    server: string | null
  }>`select o.external_id, (o.mode <> 'inherit' and o.mapped_by is distinct from 'device-group') or not o.auto_sync as decided, o.server,
      (select count(*) from ${t.device} d where d.connection_id = o.connection_id and d.organization_external_id = o.external_id and d.removed_at is null) as devices,
      exists (select 1 from ${t.client_group} g where g.connection_id = o.connection_id and g.client_ref = o.client_ref and g.external_id <> o.external_id and g.missing_since is null) as elsewhere
    from ${t.organization} o where o.connection_id = ${connectionId} and o.removed_at is null
      and o.created_at < coalesce((select min(p.created_at) from ${t.page} p where p.pass_id = any(${passesOf(pass)}::uuid[])), now())`.execute(
    db
  )
  const now = pass.notes.server
  return new Map(
    rows.map(({ external_id, devices, decided, elsewhere, server }) => [
      external_id,
      {
        devices: Number(devices),
        decided,
        linkedElsewhere: elsewhere,
        ofAnotherServer: server !== null && now !== null && server !== now
      }
    ])
  )
}

/** A record that the last page of this pass showed; null where it showed none. */
export async function seenRecord({ db, t }: Database, pass: Pass): Promise<string | null> {
  const { rows } = await sql<{ id: string }>`select p.seen[1] as id from ${t.page} p
    where p.pass_id = ${pass.id} and cardinality(p.seen) > 0 order by p.id desc limit 1`.execute(db)
  return rows[0]?.id ?? null
}

/** Whether the pass showed the same records as the one that was doubted before it. */
export async function showsTheSame({ db, t }: Database, { id, doubtedId }: Pass): Promise<boolean> {
  const shown = (pass: string) => sql`select unnest(p.seen) from ${t.page} p where p.pass_id = ${pass}`
  const { rows } = await sql<{ same: boolean }>`select not exists ((${shown(id)}) except (${shown(doubtedId!)}))
    and not exists ((${shown(doubtedId!)}) except (${shown(id)})) as same`.execute(db)
  return rows[0]!.same
}
