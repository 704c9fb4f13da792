import type { Migration } from './migration.ts'

/**
 * `owed`: the host has yet to hear of the device, or to name its asset. Of what is stored by now that is guessed as it
 * was meant: hosts that name assets have not got those without one. `request`: what a run other than a sync is to do, and
 * how far it is.
 */
export const handover: Migration = {
  name: '0023_handover',
  statements: s => [
    `alter table ${s}.rmm_device add column owed text null`,
    `update ${s}.rmm_device d set owed = 'handover' where d.asset_ref is null and d.client_ref is not null and d.assignment = 'mapped' and d.removed_at is null
      and exists (select 1 from ${s}.rmm_device e where e.connection_id = d.connection_id and e.asset_ref is not null)`,
    `create index rmm_device_owed on ${s}.rmm_device (connection_id, id) where owed is not null`,
    `create index rmm_device_asset on ${s}.rmm_device (tenant_id, asset_ref) where asset_ref is not null`,
    `alter table ${s}.rmm_run add column request jsonb null`
  ]
}
