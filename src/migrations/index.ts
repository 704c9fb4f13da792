import { init } from './0001_init.ts'
import { inventory } from './0002_inventory.ts'

/** One step of our schema. `schema` arrives quoted; one SQL statement per entry (PGlite takes no more at once). */
export interface Migration {
  name: string
  statements (schema: string): string[]
}

/** In order, oldest first. A released migration never changes. */
export const migrations: readonly Migration[] = [init, inventory]
