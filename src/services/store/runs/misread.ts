import { sql } from 'kysely'
import { stableJson, type StoredMisread } from '../../model/index.ts'
import type { ResourceName } from '../../../types.ts'
import type { Db, Tables } from '../database.ts'

/** One item per field and run: what comes again is counted. In the page's transaction, so that a repeated page is not. */
export async function noteMisread(
  trx: Db,
  t: Tables,
  run: { id: string; tenantId: string; connectionId: string },
  resource: ResourceName,
  misread: StoredMisread[]
): Promise<void> {
  if (misread.length === 0) return
  await sql`insert into ${t.run_item} as i (tenant_id, connection_id, run_id, resource, external_id, outcome, reason, field, count)
    select ${run.tenantId}, ${run.connectionId}::uuid, ${run.id}::uuid, ${resource}, x."externalId", 'ambiguous', x.example, x.field, x.count
    from jsonb_to_recordset(${stableJson(misread)}::jsonb) as x(field text, count int, example text, "externalId" text)
    on conflict (run_id, resource, field) where field is not null do update set count = i.count + excluded.count`.execute(
    trx
  )
}
