import type { MikroORM } from '@mikro-orm/core'
import { sql } from 'kysely'
import { MigrationError, SchemaNotIgnoredError } from '../errors.ts'
import type { Database, Db } from '../services/store/index.ts'
import { migrations } from './index.ts'
import type { Migration } from './migration.ts'

function quoted(schema: string): string {
  return `"${schema.replaceAll('"', '""')}"`
}

/**
 * The SQL that brings a database up to date, one statement per entry and in order, for whoever applies it by hand (in
 * one transaction).
 *
 * @param schema where our tables live, unquoted
 * @param applied names of the migrations the database has already
 */
export function migrationPlan(schema = 'rmm', applied: readonly string[] = []): string[] {
  const s = quoted(schema)
  return [
    `create schema if not exists ${s}`,
    `create table if not exists ${s}.rmm_migration (name text primary key, applied_at timestamptz(3) not null default now())`,
    ...migrations.filter(migration => !applied.includes(migration.name)).flatMap(migration => steps(migration, s))
  ]
}

function steps(migration: Migration, s: string): string[] {
  return [...migration.statements(s), `insert into ${s}.rmm_migration (name) values ('${migration.name}')`]
}

async function applied(db: Db, schema: string): Promise<string[] | null> {
  const exists = await sql<{
    found: boolean
  }>`select to_regclass(${`${quoted(schema)}.rmm_migration`}) is not null as found`.execute(db)
  if (!exists.rows[0]?.found) return null
  const { rows } = await sql<{
    name: string
  }>`select name from ${sql.table(`${schema}.rmm_migration`)} order by name`.execute(db)
  return rows.map(row => row.name)
}

/** Names of what is missing, oldest first; empty when the database is up to date. */
export async function pendingMigrations(database: Pick<Database, 'db' | 'schema'>): Promise<string[]> {
  const names = (await applied(database.db, database.schema)) ?? []
  return migrations.map(migration => migration.name).filter(name => !names.includes(name))
}

/**
 * Applies what is missing, in one transaction under one advisory lock, so that replicas that start together do not
 * race. Returns the names of the migrations applied.
 */
export async function runMigrations(database: Database): Promise<string[]> {
  const { schema } = database
  return await database.transaction(async trx => {
    await sql`select pg_advisory_xact_lock(hashtext(${`rmm-migrate:${schema}`}))`.execute(trx)
    const pending = await pendingMigrations({ db: trx, schema })
    if (pending.length === 0) return pending
    const done = migrations.map(migration => migration.name).filter(name => !pending.includes(name))
    const [createSchema, ...statements] = migrationPlan(schema, done) as [string, ...string[]]
    // Even `if not exists` needs the right to create schemas, which a role that was given a ready-made one lacks.
    const { rows } = await sql`select 1 from pg_namespace where nspname = ${schema}`.execute(trx)
    for (const statement of rows.length > 0 ? statements : [createSchema, ...statements])
      await sql.raw(statement).execute(trx)
    return pending
  })
}

/** Refuses to boot on a database that is behind, with the way out. */
export async function checkMigrations(database: Database): Promise<void> {
  const pending = await pendingMigrations(database)
  if (pending.length === 0) return
  throw new MigrationError(
    `the schema '${database.schema}' lacks ${pending.join(', ')}: run 'npx rmm-sync migrate', call migrate(orm) from fastify-rmm-sync/migrate, or set migrations: 'run'`
  )
}

interface SchemaAwareConfig {
  schemaGenerator?: { ignoreSchema?: string[] }
}

/** Where the queue of the `postgres` transport keeps its tables unless it is told otherwise. */
export const defaultQueueSchema = 'rmm_queue'

export interface SchemaOptions {
  /** Our schema. @default 'rmm' */
  schema?: string
  /** Schemas of transports that do not use their default, e.g. `postgresTransport({ schema })`. @default [] */
  transportSchemas?: readonly string[]
}

/**
 * Makes the host's schema tools leave our schema and that of our queue alone; without it the host's next schema diff
 * would drop our tables.
 *
 * @example MikroORM.init(withRmmSync({ entities, dbName }))
 */
export function withRmmSync<C extends object>(config: C, options: SchemaOptions = {}): C {
  const { schemaGenerator } = config as SchemaAwareConfig
  const ours = [options.schema ?? 'rmm', defaultQueueSchema, ...(options.transportSchemas ?? [])]
  const ignoreSchema = [...new Set([...(schemaGenerator?.ignoreSchema ?? []), ...ours])]
  return { ...config, schemaGenerator: { ...schemaGenerator, ignoreSchema } }
}

const ignores = (orm: MikroORM, schema: string): boolean =>
  (orm.config.get('schemaGenerator') as SchemaAwareConfig['schemaGenerator'])?.ignoreSchema?.includes(schema) === true

/** The same for what the transports own. */
export function requireIgnoredTransports(
  orm: MikroORM,
  transports: ReadonlyArray<{ kind: string; schemas?: readonly string[] }>
): void {
  for (const { kind, schemas = [] } of transports) {
    const schema = schemas.find(schema => !ignores(orm, schema))
    if (schema === undefined) continue
    throw new SchemaNotIgnoredError(
      `the next schema diff of the host would drop the tables of the transport '${kind}' in '${schema}': wrap the MikroORM config as withRmmSync(config, { transportSchemas: ['${schema}'] }), or add '${schema}' to schemaGenerator.ignoreSchema`
    )
  }
}

/** Throws `RMM_ERR_SCHEMA_NOT_IGNORED` when the host's schema diff would drop our tables. */
export function requireIgnoredSchema(orm: MikroORM, schema: string): void {
  if (ignores(orm, schema)) return
  throw new SchemaNotIgnoredError(
    `the next schema diff of the host would drop the tables in '${schema}': wrap the MikroORM config as withRmmSync(config${schema === 'rmm' ? '' : `, { schema: '${schema}' }`}), or add '${schema}' to schemaGenerator.ignoreSchema`
  )
}
