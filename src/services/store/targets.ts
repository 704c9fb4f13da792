import { sql } from 'kysely'
import type { ActionTarget } from '../../types.ts'
import type { Database } from './database.ts'
import { isId } from './values.ts'

/** What a URL names. */
export type NamedTarget = Omit<ActionTarget, 'body'> & {
  /** The platform's id of a device, below a connection. */
  externalId?: string
}

interface Found {
  connection_id?: string
  device_id?: string | null
  client_ref?: string | null
}

/**
 * Completes what a URL names by what is stored: the connection of a run, a delivery or a device, and the client of a
 * device. Null where the tenant has no such thing.
 */
export async function locate(
  { db, t }: Database,
  tenantId: string,
  named: NamedTarget
): Promise<Omit<ActionTarget, 'body'> | null> {
  const { externalId, ...target } = named
  const one = async (table: keyof typeof t, id: string, columns: string): Promise<Found | null> => {
    if (!isId(id)) return null
    const { rows } =
      await sql<Found>`select ${sql.raw(columns)} from ${t[table]} where id = ${id} and tenant_id = ${tenantId}`.execute(
        db
      )
    return rows[0] ?? null
  }
  async function find(): Promise<Found | null> {
    if (target.deviceId !== undefined) return await one('device', target.deviceId, 'connection_id, client_ref')
    if (target.runId !== undefined) return await one('run', target.runId, 'connection_id')
    if (target.deliveryId !== undefined) return await one('delivery', target.deliveryId, 'connection_id')
    if (target.connectionId === undefined) return {}
    if (externalId === undefined || !isId(target.connectionId))
      return await one('connection', target.connectionId, 'id')
    const { rows } = await sql<Found>`select d.id as device_id, d.client_ref from ${t.connection} c
      left join ${t.device} d on d.connection_id = c.id and d.external_id = ${externalId}
      where c.id = ${target.connectionId} and c.tenant_id = ${tenantId}`.execute(db)
    return rows[0] ?? null
  }
  const found = await find()
  if (found === null) return null
  return {
    ...target,
    ...(found.connection_id ? { connectionId: found.connection_id } : {}),
    ...(found.device_id ? { deviceId: found.device_id } : {}),
    ...(found.client_ref ? { clientRef: found.client_ref } : {})
  }
}
