import type { MikroORM } from '@mikro-orm/core'
import { pendingMigrations as pendingIn, runMigrations } from './migrations/run.ts'
import { requireSchemaName } from './option-checks.ts'
import { type Database, openDatabase } from './services/store/index.ts'

export { migrationPlan, withRmmSync } from './migrations/run.ts'

/** `schema`: the one given to the plugin. @default { schema: 'rmm' } */
export interface MigrateOptions {
  schema?: string
}

/**
 * Applies our missing migrations through the host's MikroORM, for hosts that migrate in their own deployment step.
 * All or nothing, and safe to call from several processes at once.
 *
 * @returns the names of the migrations applied; empty when there was nothing to do
 * @throws `RMM_ERR_OPTION` for a schema name the plugin would refuse, or the database's own error
 */
export async function migrate(orm: MikroORM, options: MigrateOptions = {}): Promise<string[]> {
  return await runMigrations(await open(orm, options))
}

/** The names of the migrations the database lacks, oldest first. */
export async function pendingMigrations(orm: MikroORM, options: MigrateOptions = {}): Promise<string[]> {
  return await pendingIn(await open(orm, options))
}

async function open(orm: MikroORM, { schema = 'rmm' }: MigrateOptions): Promise<Database> {
  requireSchemaName(schema)
  return await openDatabase(orm, schema)
}
