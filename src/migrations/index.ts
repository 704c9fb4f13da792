import { init } from './0001_init.ts'
import { inventory } from './0002_inventory.ts'
import { runs } from './0004_runs.ts'
import { actors } from './0007_actors.ts'
import type { Migration } from './migration.ts'

/** In order, oldest first. A released migration never changes. */
export const migrations: readonly Migration[] = [init, inventory, runs, actors]
