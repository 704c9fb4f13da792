import { randomUUID } from 'node:crypto'
import { ClientUnknownError, MappingError, NotFoundError } from '../../errors.ts'
import type { Rmm } from '../../rmm.ts'
import type { Client, List, MappingChange, NewEvent, Organization, PageQuery } from '../../types.ts'
import { addMoves, applyChanges, checkMappings, contextOf, noChanges } from '../sync/index.ts'
import type { Core } from '../core.ts'
import { clean } from '../model/index.ts'
import {
  changeMappings,
  type ConnectionRow,
  type Db,
  findOrganizations,
  holdConnection,
  limitOf,
  mappedTo,
  moveClientGroup,
  listOrganizations,
  placementsOf,
  placeTree,
  readCursor,
  reassignDevices,
  requireConnection,
  type NewActivity,
  type NewChange,
  writeActivity,
  writeChanges,
  writeCursor
} from '../store/index.ts'

import { listSuggestions } from './suggestions.ts'

type Change = { organizationId: string } & MappingChange

export function createOrganizations(core: Core): Rmm['organizations'] {
  const { database, directory } = core
  const { t } = database

  async function checkClients(tenantId: string, changes: Change[]): Promise<void> {
    for (const clientRef of new Set(changes.flatMap(change => change.clientRef ?? []))) {
      if (clean(clientRef) !== clientRef) throw new MappingError('The clientRef has characters that cannot be stored')
      if ((await directory.client(tenantId, clientRef)) === null) throw new ClientUnknownError(clientRef)
    }
  }

  /** Applies all changes or none; the devices follow in the same transaction. */
  async function apply(
    tenantId: string,
    connectionId: string,
    changes: Change[],
    also: (trx: Db) => Promise<void> = async () => {}
  ): Promise<{ items: Organization[]; moved: number }> {
    const row = await requireConnection(database, tenantId, connectionId)
    const ids = changes.map(change => change.organizationId)
    const settled = async (db: Db) => {
      const stored = new Map(
        (await findOrganizations(db, t, tenantId, connectionId, ids)).map(organization => [
          organization.id,
          organization
        ])
      )
      return { stored, changes: changes.map(change => settle(change, stored.get(change.organizationId))) }
    }
    // What is refused anyway does not reach the directory, which may be slow: hence once before it, and once when
    // nothing can change any more.
    await settled(database.db)
    await checkClients(tenantId, changes)
    return await database.transaction(async trx => {
      await holdConnection(trx, t, connectionId)
      const context = contextOf(core, row, { cause: 'mapping', runId: randomUUID() })
      const before = await placementsOf(trx, t, connectionId)
      await also(trx)
      const { stored, changes: settledChanges } = await settled(trx)
      await changeMappings(trx, t, connectionId, settledChanges)
      const changed = noChanges()
      const organizations = await placeTree(trx, t, connectionId, { since: before, decided: new Set(ids) })
      const moved = await reassignDevices(trx, t, context, organizations)
      addMoves(changed, moved)
      const after = new Map(
        (await findOrganizations(trx, t, tenantId, connectionId, ids)).map(organization => [
          organization.id,
          organization
        ])
      )
      const remapped = ids.flatMap(id => difference(stored.get(id)!, after.get(id)!))
      await writeChanges(trx, t, context, remapped.map(mappingChange))
      await applyChanges(core, trx, context, changed, remapped.map(mappingEvent))
      if (remapped.length > 0) await writeActivity(trx, t, tenantId, mappingActivity(row, remapped))
      return { items: ids.map(id => after.get(id)!), moved: moved.length }
    })
  }

  return {
    async list(tenantId, connectionId, query) {
      const row = await requireConnection(database, tenantId, connectionId)
      if (query?.cursor === undefined) await checkMappings(core, row)
      return await listOrganizations(database, tenantId, connectionId, query)
    },
    async update(tenantId, connectionId, organizationId, change) {
      return (await apply(tenantId, connectionId, [{ organizationId, ...change }])).items[0]!
    },
    async map(tenantId, connectionId, mappings) {
      const ids = new Set(mappings.map(mapping => mapping.organizationId))
      if (ids.size !== mappings.length)
        throw new MappingError('An organization is in the list twice; each may be mapped once')
      return { items: (await apply(tenantId, connectionId, mappings)).items }
    },
    async move(tenantId, connectionId, { from, to }) {
      await requireConnection(database, tenantId, connectionId)
      if (from === to) throw new MappingError('from and to are the same client')
      await checkClients(tenantId, [{ organizationId: '', clientRef: to }])
      const ids = await mappedTo(database.db, t, connectionId, from)
      const changes = ids.map(organizationId => ({ organizationId, mode: 'mapped' as const, clientRef: to }))
      const { items, moved } = await apply(tenantId, connectionId, changes, trx =>
        moveClientGroup(trx, t, connectionId, from, to)
      )
      return { organizations: items.length, devices: moved }
    },
    async suggestions(tenantId, connectionId, query) {
      await requireConnection(database, tenantId, connectionId)
      const clients = await directory.clients(tenantId)
      return await listSuggestions(database, tenantId, connectionId, clients, query)
    },
    async clients(tenantId, query) {
      const q = query?.q?.trim()
      const clients = await directory.clients(tenantId, q ? { q } : {})
      const found = q ? clients.filter(client => matches(client, q)) : clients
      return slice(
        [...found].sort((a, b) => a.name.localeCompare(b.name) || (a.id < b.id ? -1 : 1)),
        query
      )
    }
  }
}

interface Remapped {
  organization: Organization
  from: MappingState
  to: MappingState
}

type MappingState = Pick<Organization['mapping'], 'mode' | 'clientRef'> & { autoSync: boolean }

const stateOf = ({ mapping: { mode, clientRef }, autoSync }: Organization): MappingState => ({
  mode,
  clientRef,
  autoSync
})

function difference(before: Organization, after: Organization): Remapped[] {
  const from = stateOf(before)
  const to = stateOf(after)
  const same = from.mode === to.mode && from.clientRef === to.clientRef && from.autoSync === to.autoSync
  return same ? [] : [{ organization: after, from, to }]
}

function mappingEvent({ organization: { id, externalId, name }, from, to }: Remapped): NewEvent {
  return { type: 'RMM_MAPPING_CHANGED', payload: { organizationId: id, externalId, name, from, to } }
}

function mappingChange({ organization: { id, externalId, name }, from, to }: Remapped): NewChange {
  const fields = (['mode', 'clientRef', 'autoSync'] as const).filter(field => from[field] !== to[field])
  return {
    entity: 'organization',
    entityId: id,
    externalId,
    displayName: name,
    clientRef: to.clientRef,
    kind: 'map',
    changed: fields.map(field => ({ field: `mapping.${field}`, from: from[field], to: to[field] }))
  }
}

/** Organizations named in one sentence at most. */
const namedAtMost = 5

/** One entry however many organizations were mapped together; the events have each of them. */
function mappingActivity(row: ConnectionRow, remapped: Remapped[]): NewActivity {
  const [only, ...others] = remapped
  const told = remapped.slice(0, namedAtMost).map(({ organization, to }) => `"${organization.name}" ${saying(to)}`)
  const rest = remapped.length - told.length
  return {
    type: 'RMM_MAPPING_CHANGED',
    target: { connectionId: row.id, ...(others.length === 0 ? { organizationId: only!.organization.id } : {}) },
    summary: `Mapped ${told.join(', ')}${rest > 0 ? ` and ${rest} more` : ''} of "${row.name}"`
  }
}

function saying({ mode, clientRef, autoSync }: MappingState): string {
  const to = { mapped: `to ${clientRef}`, excluded: 'to nobody (excluded)', inherit: 'like its parent' }[mode]
  return autoSync ? to : `${to}, without its devices`
}

/** Completes a change by what is stored, so that only sensible mappings are written. */
function settle(change: Change, organization: Organization | undefined): Change {
  if (organization === undefined) throw new NotFoundError('Organization')
  const mode = change.mode ?? (change.clientRef ? 'mapped' : organization.mapping.mode)
  const clientRef =
    mode !== 'mapped' ? null : change.clientRef === undefined ? organization.mapping.clientRef : change.clientRef
  if (mode === 'mapped' && clientRef === null)
    throw new MappingError("mode 'mapped' needs a clientRef; inherit or excluded take the client away")
  if (mode !== 'mapped' && change.clientRef) throw new MappingError(`mode '${mode}' takes no clientRef`)
  return {
    organizationId: organization.id,
    mode,
    clientRef,
    ...(change.autoSync === undefined ? {} : { autoSync: change.autoSync })
  }
}

/** The host may have filtered already; this holds where it did not. */
function matches(client: Client, q: string): boolean {
  return client.name.toLocaleLowerCase().includes(q.toLocaleLowerCase()) || client.id === q
}

/** Lists that come whole, from the directory or from a computation, in pages. */
function slice<T>(items: T[], query?: PageQuery): List<T> {
  const limit = limitOf(query)
  const from = Number(readCursor(query?.cursor, ['number'])?.[0] ?? 0)
  const end = from + limit
  return { items: items.slice(from, end), nextCursor: items.length > end ? writeCursor([String(end)]) : null }
}
