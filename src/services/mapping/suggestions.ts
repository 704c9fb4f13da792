import type { Client, List, MappingSuggestion, PageQuery } from '../../types.ts'
import { createTurns } from '../../waits.ts'
import { createClientIndex } from '../model/index.ts'
import { type Database, limitOf, openOrganizations, readCursor, writeCursor } from '../store/index.ts'

/** Organizations looked at in one statement. */
const lookAtOnce = 500

/**
 * A page of proposals, in the order of the organizations. Only so many organizations are scored as the page needs, and
 * the event loop is not held meanwhile.
 */
export async function listSuggestions(
  database: Database,
  tenantId: string,
  connectionId: string,
  clients: readonly Client[],
  query?: PageQuery
): Promise<List<MappingSuggestion>> {
  const limit = limitOf(query)
  const [path, id, taken] = readCursor(query?.cursor, ['text', 'id', 'number']) ?? []
  const turn = createTurns()
  const index = createClientIndex()
  for (const client of clients) {
    index.add(client)
    await turn()
  }
  const items: MappingSuggestion[] = []
  let from = path === undefined ? null : { path, id: id!, including: true }
  for (;;) {
    const organizations = await openOrganizations(database, tenantId, connectionId, from, lookAtOnce)
    for (const organization of organizations) {
      const found = index.suggest(organization)
      const skipped = organization.id === id ? Number(taken) : 0
      for (const [at, suggestion] of found.entries()) {
        if (at < skipped) continue
        if (items.length === limit)
          return { items, nextCursor: writeCursor([organization.path, organization.id, String(at)]) }
        items.push(suggestion)
      }
      await turn()
    }
    if (organizations.length < lookAtOnce) return { items, nextCursor: null }
    const last = organizations.at(-1)!
    from = { path: last.path, id: last.id, including: false }
  }
}
