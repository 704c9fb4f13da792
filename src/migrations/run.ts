import type { MikroORM } from '@mikro-orm/core'
import { sql } from 'kysely'
import { MigrationError, SchemaNotIgnoredError } from '../errors.ts'
import { type Database, type Db, openDatabase } from '../services/store/database.ts'
import { migrations } from './index.ts'

function quoted (schema: string): string {
  return `"${schema.replaceAll('"', '""')}"`
}

/** Every statement of every migration that is not applied yet, for a DBA who applies them by hand. */
export function migrationPlan (schema = 'rmm', applied: readonly string[] = []): string[] {
  const s = quoted(schema)
  const pending = migrations.filter(migration => !applied.includes(migration.name))
  return [
    `create schema if not exists ${s}`,
    `create table if not exists ${s}.rmm_migration (name text primary key, applied_at timestamptz(3) not null default now())`,
    ...pending.flatMap(migration => [...migration.statements(s), `insert into ${s}.rmm_migration (name) values ('${migration.name}')`])
  ]
}

async function applied (db: Db, schema: string): Promise<string[] | null> {
  const exists = await sql<{ found: boolean }>`select to_regclass(${`${quoted(schema)}.rmm_migration`}) is not null as found`.execute(db)
  if (!exists.rows[0]?.found) return null
  const { rows } = await sql<{ name: string }>`select name from ${sql.table(`${schema}.rmm_migration`)} order by name`.execute(db)
  return rows.map(row => row.name)
}

/** What is missing; empty when the database is up to date. */
export async function pendingMigrations (database: Database): Promise<string[]> {
  const names = await applied(database.db, database.schema) ?? []
  return migrations.map(migration => migration.name).filter(name => !names.includes(name))
}

/**
 * Applies what is missing, in one transaction under one advisory lock, so that replicas that start together do not race.
 * Returns the names of the migrations applied.
 */
export async function runMigrations (database: Database): Promise<string[]> {
  return await database.transaction(async trx => {
    await sql`select pg_advisory_xact_lock(hashtext(${`rmm-migrate:${database.schema}`}))`.execute(trx)
    const names = await applied(trx, database.schema) ?? []
    const pending = migrations.map(migration => migration.name).filter(name => !names.includes(name))
    if (pending.length > 0) for (const statement of migrationPlan(database.schema, names)) await sql.raw(statement).execute(trx)
    return pending
  })
}

/** Applies our migrations through the host's MikroORM. For hosts that migrate in their own deployment step. */
export async function migrate (orm: MikroORM, options: { schema?: string } = {}): Promise<string[]> {
  return await runMigrations(await openDatabase(orm, options.schema ?? 'rmm'))
}

/** Refuses to boot on a database that is behind, with the way out. */
export async function checkMigrations (database: Database): Promise<void> {
  const pending = await pendingMigrations(database)
  if (pending.length === 0) return
  throw new MigrationError(`the schema '${database.schema}' lacks ${pending.join(', ')}: run 'npx rmm-sync migrate', call migrate(orm) from fastify-rmm-sync/migrate, or set migrations: 'run'`)
}

interface SchemaAwareConfig {
  schemaGenerator?: { ignoreSchema?: string[] }
}

/**
 * Makes the host's schema tools leave our schema alone; without it the host's next schema diff would drop our tables.
 *
 * @example MikroORM.init(withRmmSync({ entities, dbName }))
 */
export function withRmmSync<C extends object> (config: C, options: { schema?: string } = {}): C {
  const { schemaGenerator } = config as SchemaAwareConfig
  const ignoreSchema = [...new Set([...schemaGenerator?.ignoreSchema ?? [], options.schema ?? 'rmm'])]
  return { ...config, schemaGenerator: { ...schemaGenerator, ignoreSchema } }
}

/** Throws `RMM_ERR_SCHEMA_NOT_IGNORED` when the host's schema diff would drop our tables. */
export function requireIgnoredSchema (orm: MikroORM, schema: string): void {
  const generator = orm.config.get('schemaGenerator') as SchemaAwareConfig['schemaGenerator']
  if (generator?.ignoreSchema?.includes(schema)) return
  throw new SchemaNotIgnoredError(`the next schema diff of the host would drop the tables in '${schema}': wrap the MikroORM config as withRmmSync(config${schema === 'rmm' ? '' : `, { schema: '${schema}' }`}), or add '${schema}' to schemaGenerator.ignoreSchema`)
}
