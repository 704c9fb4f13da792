import { sql } from 'kysely'
import type { Database, Db, Tables } from './database.ts'

/** Mappings whose client the host's directory no longer has. */

export interface MarkedMapping {
  id: string
  externalId: string
  name: string
  clientRef: string
  broken: boolean
}

/** The clients that organizations of the connection are mapped to, each once. */
export async function mappedClients({ db, t }: Database, connectionId: string): Promise<string[]> {
  const { rows } = await sql<{ ref: string }>`select distinct client_ref as ref from ${t.organization}
    where connection_id = ${connectionId} and mode = 'mapped' and client_ref is not null and removed_at is null order by 1`.execute(
    db
  )
  return rows.map(({ ref }) => ref)
}

/** Whether marks have to change, given the clients that are gone. */
export async function brokenOf(
  { db, t }: Database,
  connectionId: string,
  gone: string[]
): Promise<{ differs: boolean }> {
  const { rows } = await sql<{ differs: boolean }>`select exists (select 1 from ${t.organization}
    where connection_id = ${connectionId} and removed_at is null and broken <> (mode = 'mapped' and client_ref = any(${gone}::text[]))) as differs`.execute(
    db
  )
  return rows[0]!
}

/** Sets the marks, and returns those that changed. */
export async function markBroken(trx: Db, t: Tables, connectionId: string, gone: string[]): Promise<MarkedMapping[]> {
  const { rows } =
    await sql<MarkedMapping>`update ${t.organization} set broken = (mode = 'mapped' and client_ref = any(${gone}::text[])), updated_at = now()
    where connection_id = ${connectionId} and removed_at is null and broken <> (mode = 'mapped' and client_ref = any(${gone}::text[]))
    returning id, external_id as "externalId", name, client_ref as "clientRef", broken`.execute(trx)
  return rows
}

/** Organizations of the connection that are mapped to this client, gone ones too. */
export async function mappedTo(db: Db, t: Tables, connectionId: string, clientRef: string): Promise<string[]> {
  const { rows } = await sql<{ id: string }>`select id from ${t.organization}
    where connection_id = ${connectionId} and mode = 'mapped' and client_ref = ${clientRef} order by path, id`.execute(
    db
  )
  return rows.map(({ id }) => id)
}

/** The device group of a client becomes another's, unless that has one. */
export async function moveClientGroup(
  trx: Db,
  t: Tables,
  connectionId: string,
  from: string,
  to: string
): Promise<void> {
  await sql`update ${t.client_group} g set client_ref = ${to}, updated_at = now() where g.connection_id = ${connectionId} and g.client_ref = ${from}
    and not exists (select 1 from ${t.client_group} h where h.connection_id = ${connectionId} and h.client_ref = ${to})`.execute(
    trx
  )
}
