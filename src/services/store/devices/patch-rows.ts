import { sql } from 'kysely'
import type { NormalUpdate } from '../../model/index.ts'
import type { Db, Tables } from '../database.ts'
import type { Pass } from './passes.ts'
import type { MergeContext } from './shapes.ts'

/** What updates are called, where that was told; unchanged rows are not written. */
export async function writePatches(
  trx: Db,
  t: Tables,
  { tenantId, connectionId }: MergeContext,
  updates: NormalUpdate[]
): Promise<void> {
  const rows = updates.flatMap(({ externalId, deviceExternalId, told }) =>
    told === null
      ? []
      : [{ external_id: externalId, device_external_id: deviceExternalId, ...told, published_at: told.publishedAt }]
  )
  if (rows.length === 0) return
  await sql`insert into ${t.patch} as p (connection_id, external_id, tenant_id, device_external_id, title, kb, severity, category, published_at)
    select ${connectionId}::uuid, x.external_id, ${tenantId}, x.device_external_id, x.title, x.kb, x.severity, x.category, x.published_at
    from jsonb_to_recordset(${JSON.stringify(rows)}::jsonb) as x(external_id text, device_external_id text, title text, kb text, severity text, category text, published_at timestamptz)
    order by x.external_id
    on conflict (connection_id, external_id) do update set device_external_id = excluded.device_external_id, title = excluded.title, kb = excluded.kb,
      severity = excluded.severity, category = excluded.category, published_at = excluded.published_at
    where (p.device_external_id, p.title, p.kb, p.severity, p.category, p.published_at)
      is distinct from (excluded.device_external_id, excluded.title, excluded.kb, excluded.severity, excluded.category, excluded.published_at)`.execute(
    trx
  )
}

/** Those that a complete read did not show: they are installed, or nobody's any more. */
export async function forgetPatches(trx: Db, t: Tables, { id }: Pass): Promise<void> {
  await sql`delete from ${t.patch} p using ${t.pass} s where s.id = ${id} and p.connection_id = s.connection_id
    and not exists (select 1 from (select unnest(q.seen) as id from ${t.page} q where q.pass_id = ${id}) now where now.id = p.external_id)`.execute(
    trx
  )
}
