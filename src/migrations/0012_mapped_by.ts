import type { Migration } from './migration.ts'

/**
 * Who mapped an organization: a person, or we when its device group was linked to a client. Only a person's word keeps
 * a group from being another client's; what was mapped before and is linked the same way counts as ours.
 */
export const mappedBy: Migration = {
  name: '0012_mapped_by',
  statements: s => [
    `alter table ${s}.rmm_organization add column mapped_by text null
      constraint rmm_organization_mapped_by_check check (mapped_by in ('operator', 'device-group'))`,
    `update ${s}.rmm_organization o set mapped_by = case when exists (select 1 from ${s}.rmm_client_group g
        where g.connection_id = o.connection_id and g.external_id = o.external_id and g.client_ref = o.client_ref)
      then 'device-group' else 'operator' end where o.mode <> 'inherit'`
  ]
}
