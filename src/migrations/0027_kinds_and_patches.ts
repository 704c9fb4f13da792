import type { Migration } from './migration.ts'

/** What a device is beside a workstation or server, and what the updates are that wait for it. */
export const kindsAndPatches: Migration = {
  name: '0027_kinds_and_patches',
  statements: s => [
    `alter table ${s}.rmm_device add column kind text not null default 'workstation'
      check (kind in ('workstation', 'server', 'printer', 'network', 'phone', 'vm-host', 'other'))`,
    `update ${s}.rmm_device set kind = asset_type where kind <> asset_type`,
    `create table ${s}.rmm_patch (
      connection_id uuid not null constraint rmm_patch_connection_id_fkey references ${s}.rmm_connection (id) on delete cascade,
      external_id text not null,
      tenant_id text not null,
      device_external_id text not null,
      title text null,
      kb text null,
      severity text null,
      category text null,
      published_at timestamptz(3) null,
      primary key (connection_id, external_id)
    )`,
    `create index rmm_patch_device on ${s}.rmm_patch (connection_id, device_external_id)`
  ]
}
