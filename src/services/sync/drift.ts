import type { NewEvent } from '../../types.ts'
import type { Core } from '../core.ts'
import {
  brokenOf,
  type ConnectionRow,
  type Db,
  holdConnection,
  mappedClients,
  type MarkedMapping,
  markBroken,
  placementsOf,
  placeTree,
  reassignDevices
} from '../store/index.ts'
import { addMoves, applyChanges, noChanges } from './changes.ts'
import { contextOf } from './reread.ts'

/**
 * Mappings to clients that the directory no longer has are broken: their devices stay where they are, and the host is
 * not told of them. A directory that fails is no word about anybody.
 *
 * @param hold what the transaction begins with, where it is not the connection's own lock
 */
export async function checkMappings(
  core: Core,
  row: ConnectionRow,
  hold: (trx: Db) => Promise<unknown> = trx => holdConnection(trx, core.database.t, row.id)
): Promise<void> {
  const { database } = core
  const { t } = database
  const refs = await mappedClients(database, row.id)
  if (refs.length === 0) return
  const gone = await goneClients(core, row, refs)
  if (gone === null || !(await brokenOf(database, row.id, gone)).differs) return
  await database.transaction(async trx => {
    await hold(trx)
    const before = await placementsOf(trx, t, row.id)
    const marked = await markBroken(trx, t, row.id, gone)
    const decided = new Set(marked.map(({ externalId }) => externalId))
    const organizations = await placeTree(trx, t, row.id, { since: before, decided })
    const changes = noChanges()
    const context = contextOf(core, row, { cause: 'mapping' })
    addMoves(changes, await reassignDevices(trx, t, context, organizations))
    await applyChanges(core, trx, context, changes, brokenEvent(marked))
  })
}

/** Of these clients those that the directory does not know; null where it did not say. */
async function goneClients(core: Core, { tenant_id, id }: ConnectionRow, refs: string[]): Promise<string[] | null> {
  const { directory } = core
  try {
    if (directory.clientsByIds !== undefined) {
      const known = new Set((await directory.clientsByIds(tenant_id, refs)).map(client => client.id))
      return refs.filter(ref => !known.has(ref))
    }
    const gone: string[] = []
    for (const ref of refs) if ((await directory.client(tenant_id, ref)) === null) gone.push(ref)
    return gone
  } catch (error) {
    core.log.warn({ err: error, connectionId: id }, 'the directory did not say whether the clients of mappings exist')
    return null
  }
}

/** Named in an event at most. */
const namedAtMost = 50

function brokenEvent(marked: MarkedMapping[]): NewEvent[] {
  const broken = marked.filter(one => one.broken)
  if (broken.length === 0) return []
  return [
    {
      type: 'RMM_MAPPING_BROKEN',
      payload: {
        count: broken.length,
        organizations: broken
          .slice(0, namedAtMost)
          .map(({ id, externalId, name, clientRef }) => ({ organizationId: id, externalId, name, clientRef }))
      }
    }
  ]
}
