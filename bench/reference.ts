import { randomUUID } from 'node:crypto'
import { pipeline } from 'node:stream/promises'
import { Readable } from 'node:stream'
import { sql } from 'kysely'
import pg from 'pg'
import { from as copyFrom } from 'pg-copy-streams'
import type { DeviceRecord } from '../src/index.ts'
import { type NormalDevice, normalizeDevice } from '../src/services/model/normalize/device.ts'
import { openDatabase } from '../src/services/store/database.ts'
import type { BenchDatabase } from './database.ts'

const columns = [
  'external_id',
  'organization_external_id',
  'display_name',
  'asset_type',
  'hostname',
  'serial_number',
  'manufacturer',
  'model',
  'os_type',
  'os_version',
  'last_reboot_at',
  'current_user_name',
  'lan_ip',
  'wan_ip',
  'mac_addresses',
  'cpu_model',
  'cpu_cores',
  'ram_bytes',
  'volumes',
  'antivirus',
  'location',
  'tags',
  'maintenance_mode',
  'details',
  'hash',
  'observed_at'
]
const json = new Set(['mac_addresses', 'volumes', 'antivirus', 'tags', 'details'])

function values({ externalId, organizationExternalId, displayName, facts, hash, observedAt }: NormalDevice): unknown[] {
  return [
    externalId,
    organizationExternalId,
    displayName,
    facts.assetType,
    facts.hostname,
    facts.serialNumber,
    facts.manufacturer,
    facts.model,
    facts.osType,
    facts.osVersion,
    facts.lastRebootAt,
    facts.currentUser,
    facts.lanIp,
    facts.wanIp,
    facts.macAddresses,
    facts.cpuModel,
    facts.cpuCores,
    facts.ramBytes,
    facts.volumes,
    facts.antivirus,
    facts.location,
    facts.tags,
    facts.maintenanceMode,
    facts.details,
    hash,
    observedAt.toISOString()
  ]
}

function csv(value: unknown): string {
  if (value === null || value === undefined) return ''
  const text = typeof value === 'object' ? JSON.stringify(value) : String(value)
  return `"${text.replaceAll('"', '""')}"`
}

export interface Reference {
  /** COPY into a temp table and one merge of the same rows into a table like ours; normalising and hashing included. */
  copyAndMerge(devices: DeviceRecord[]): Promise<number>
  /** What PSA code does: every device found, then written, in a transaction of its own. */
  oneByOne(devices: DeviceRecord[]): Promise<number>
  close(): Promise<void>
}

/** The same table with the same indexes as ours, in the same schema, without the engine around it. */
export async function startReference(database: BenchDatabase, connectionId: string): Promise<Reference> {
  const { schema } = database
  const { db } = await openDatabase(database.orm, schema)
  const table = `${schema}.reference`
  await sql.raw(`create table if not exists ${table} (like ${schema}.rmm_device including all)`).execute(db)
  await sql
    .raw(
      `alter table ${table} add foreign key (connection_id) references ${schema}.rmm_connection (id) on delete cascade`
    )
    .execute(db)
  await sql
    .raw(`create table if not exists ${table}_status (like ${schema}.rmm_device_status including all)`)
    .execute(db)
  await sql
    .raw(
      `create table if not exists ${table}_event (id bigint generated always as identity primary key, type text, payload jsonb, at timestamptz default now())`
    )
    .execute(db)
  await sql
    .raw(
      `create table if not exists ${table}_log (id bigint generated always as identity primary key, external_id text, outcome text, at timestamptz default now())`
    )
    .execute(db)
  const merge = `insert into ${table} as d (tenant_id, connection_id, provider, ${columns.join(', ')}) select 'bench', '${connectionId}'::uuid, 'feed', ${columns.join(', ')} from incoming order by external_id
    on conflict (connection_id, external_id) do update set ${columns.map(column => `${column} = excluded.${column}`).join(', ')}, updated_at = now() where d.hash <> excluded.hash`
  const temp = `create temp table incoming (${columns.map(column => `${column} ${typeOf(column)}`).join(', ')}) on commit drop`
  const rows = (devices: DeviceRecord[]): string =>
    devices.map(device => `${values(normalizeDevice(device, new Date())).map(csv).join(',')}\n`).join('')
  const timed = async (work: () => Promise<void>): Promise<number> => {
    const began = performance.now()
    await work()
    return performance.now() - began
  }
  if (database.kind === 'postgresql') {
    const client = new pg.Client({ connectionString: process.env['TEST_DATABASE_URL'] })
    await client.connect()
    return {
      copyAndMerge: devices =>
        timed(async () => {
          await client.query('begin')
          await client.query(temp)
          await pipeline(
            Readable.from([rows(devices)]),
            client.query(copyFrom(`copy incoming (${columns.join(', ')}) from stdin (format csv)`))
          )
          await client.query(merge)
          await client.query('commit')
        }),
      oneByOne: devices =>
        timed(() =>
          oneByOne((text, parameters) => client.query(text, parameters as never), schema, connectionId, devices)
        ),
      close: () => client.end()
    }
  }
  const lite = await (
    database.orm.em.getConnection() as unknown as { getNativeClient(): Promise<Lite> }
  ).getNativeClient()
  return {
    copyAndMerge: devices =>
      timed(() =>
        lite.transaction(async trx => {
          await trx.query(temp)
          await trx.query(`copy incoming (${columns.join(', ')}) from '/dev/blob' (format csv)`, [], {
            blob: new Blob([rows(devices)])
          })
          await trx.query(merge)
        })
      ),
    oneByOne: devices =>
      timed(() => oneByOne((text, parameters) => lite.query(text, parameters), schema, connectionId, devices)),
    close: async () => {}
  }
}

interface Lite {
  query(text: string, parameters?: unknown[], options?: object): Promise<{ rows: unknown[] }>
  transaction(work: (trx: Lite) => Promise<void>): Promise<void>
}

function typeOf(column: string): string {
  if (json.has(column)) return 'jsonb'
  return (
    {
      last_reboot_at: 'timestamptz',
      observed_at: 'timestamptz',
      cpu_cores: 'int',
      ram_bytes: 'bigint',
      maintenance_mode: 'boolean'
    }[column] ?? 'text'
  )
}

/**
 * Eight statements and a transaction per device, as many as peers spend (DESIGN.md 8): its connection, its
 * organization, the device itself, the row, its status, its open alerts, an event, a line in the log.
 */
async function oneByOne(
  query: (text: string, parameters?: unknown[]) => Promise<{ rows: unknown[] }>,
  schema: string,
  connectionId: string,
  devices: DeviceRecord[]
): Promise<void> {
  const table = `${schema}.reference`
  for (const device of devices) {
    const normal = normalizeDevice(device, new Date())
    const row = values(normal).map(value =>
      typeof value === 'object' && value !== null ? JSON.stringify(value) : value
    )
    await query('begin')
    await query(`select id, move_policy from ${schema}.rmm_connection where id = $1`, [connectionId])
    await query(
      `select id, effective_client_ref from ${schema}.rmm_organization where connection_id = $1 and external_id = $2`,
      [connectionId, row[1]]
    )
    const found = await query(`select * from ${table} where connection_id = $1 and external_id = $2`, [
      connectionId,
      row[0]
    ])
    const id = (found.rows[0] as { id: string } | undefined)?.id ?? randomUUID()
    if (found.rows.length === 0)
      await query(
        `insert into ${table} (id, tenant_id, connection_id, provider, ${columns.join(', ')}) values ($1, 'bench', $2, 'feed', ${columns.map((_, n) => `$${n + 3}`).join(', ')})`,
        [id, connectionId, ...row]
      )
    else
      await query(
        `update ${table} set ${columns.map((column, n) => `${column} = $${n + 2}`).join(', ')}, updated_at = now() where id = $1`,
        [id, ...row]
      )
    await query(
      `insert into ${table}_status (device_id, tenant_id, connection_id, online, last_seen_at, hash, observed_at) values ($1, 'bench', $2, $3, $4, '', now())
      on conflict (device_id) do update set online = excluded.online, last_seen_at = excluded.last_seen_at, observed_at = now()`,
      [id, connectionId, normal.status.online, normal.status.lastSeenAt]
    )
    await query(`select count(*) from ${schema}.rmm_alert where connection_id = $1 and device_external_id = $2`, [
      connectionId,
      row[0]
    ])
    await query(`insert into ${table}_event (type, payload) values ('RMM_DEVICE_UPDATED', $1)`, [
      JSON.stringify({ deviceId: id, externalId: row[0] })
    ])
    await query(`insert into ${table}_log (external_id, outcome) values ($1, 'synced')`, [row[0]])
    await query('commit')
  }
}
