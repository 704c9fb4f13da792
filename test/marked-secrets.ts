import { sql } from 'kysely'
import type { Database } from '../src/services/store/index.ts'

/** What the fakes take as secrets, unless a test says otherwise: all the suite logs, answers and stores is sought for it. */
const marked = /level-test-key-[a-z-]+|mesh-test-password|ninja-test-client-secret/

export interface Watch {
  /** Where the app logs to. */
  stream: { write(line: string): void }
  /** Looks at an answer, and hands it on. */
  seen(what: string, body: string): string
  /** Throws where any of it held a secret. */
  requireNone(): void
}

/** Looks at everything that leaves a host of a test. */
export function watchForSecrets(): Watch {
  const found: string[] = []
  const look = (what: string, text: string): void => {
    const hit = marked.exec(text)
    if (hit !== null) found.push(`${what}: …${text.slice(Math.max(0, hit.index - 80), hit.index + 80)}…`)
  }
  return {
    stream: { write: line => look('logged', line) },
    seen(what, body) {
      look(what, body)
      return body
    },
    requireNone() {
      if (found.length > 0) throw new Error(`A secret left the host:\n${found.slice(0, 3).join('\n')}`)
    }
  }
}

/** Throws where a table of ours holds a secret in the clear: rows, queued events and all. */
export async function requireSealed({ db }: Database, schema: string): Promise<void> {
  const tables = await sql<{
    name: string
  }>`select c.relname as name from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where n.nspname = ${schema} and c.relkind = 'r'`.execute(db)
  if (tables.rows.length === 0) return
  const looks = tables.rows.map(
    ({ name }) =>
      sql`select ${name}::text as name where exists (select 1 from ${sql.table(`${schema}.${name}`)} x where x::text ~ ${marked.source})`
  )
  const { rows } = await sql<{ name: string }>`${sql.join(looks, sql` union all `)}`.execute(db)
  if (rows.length > 0) throw new Error(`A secret is stored in the clear in ${rows.map(({ name }) => name).join(', ')}`)
}
