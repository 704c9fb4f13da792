import { sql } from 'kysely'
import type { Database } from '../database.ts'

/** Takes or extends a lease; false while another worker has it. */
export async function takeLease({ db, t }: Database, name: string, worker: string, ms: number): Promise<boolean> {
  const { rows } =
    await sql`insert into ${t.lease} as l (name, worker, lease_until) values (${name}, ${worker}, now() + ${ms} * interval '1 millisecond')
    on conflict (name) do update set worker = excluded.worker, lease_until = excluded.lease_until where l.worker = ${worker} or l.lease_until < now() returning name`.execute(
      db
    )
  return rows.length > 0
}

/** Whether another worker holds a lease whose name begins with `prefix`. */
export async function anyLease({ db, t }: Database, prefix: string, worker: string): Promise<boolean> {
  const { rows } = await sql<{
    held: boolean
  }>`select exists (select 1 from ${t.lease} where starts_with(name, ${prefix}) and worker <> ${worker} and lease_until > now()) as held`.execute(
    db
  )
  return rows[0]!.held
}

/** Leases of workers that are gone: their names do not come again. */
export async function pruneLeases({ db, t }: Database, prefix: string): Promise<void> {
  await sql`delete from ${t.lease} where starts_with(name, ${prefix}) and lease_until < now()`.execute(db)
}

export async function dropLease({ db, t }: Database, name: string, worker: string): Promise<void> {
  await sql`delete from ${t.lease} where name = ${name} and worker = ${worker}`.execute(db)
}
