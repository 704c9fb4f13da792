import { createTurns } from '../../waits.ts'
import { sql } from 'kysely'
import type { FieldChange } from '../../types.ts'
import {
  assign,
  type Assigned,
  type Assignment,
  type Move,
  type Placement,
  placeAll,
  type TreeNode
} from '../model/index.ts'
import { logColumns, logValues } from './changes.ts'
import type { Database, Db, Tables } from './database.ts'
import type { DeviceChange, MergeContext } from './devices/shapes.ts'
import { type Pass, passesOf } from './devices/passes.ts'
import { type DeviceRow, deviceFrom, deviceSelect, toDevice } from './devices/rows.ts'

/** Where organizations stand in the tree and whose they are, and the devices that follow from it. */

interface PlacedRow {
  id: string
  external_id: string
  name: string
  parent_external_id: string | null
  path: string
  depth: number
  mode: TreeNode['mode']
  client_ref: string | null
  auto_sync: boolean
  broken: boolean
  assignment: Assignment
  effective_client_ref: string | null
  removed_at: unknown
}

/** What the tree says of every organization, by external id. */
export type Placements = Map<string, Placement>

async function readTree(trx: Db, t: Tables, connectionId: string): Promise<{ rows: PlacedRow[]; placed: Placements }> {
  const { rows } = await sql<PlacedRow>`
    select id, external_id, name, parent_external_id, path, depth, mode, client_ref, auto_sync, broken, assignment, effective_client_ref, removed_at
    from ${t.organization} where connection_id = ${connectionId}`.execute(trx)
  const placed = placeAll(
    rows.map(
      (row): TreeNode => ({
        externalId: row.external_id,
        parentExternalId: row.parent_external_id,
        name: row.name,
        mode: row.mode,
        clientRef: row.client_ref,
        // A client that is gone gets no devices, and no other client gets them instead.
        autoSync: row.auto_sync && !row.broken,
        removed: row.removed_at !== null
      })
    )
  )
  return { rows, placed }
}

/**
 * What the tree says now, which is not what is stored while a change by the platform waits for a person. Read it before
 * an operator's change and give it to `placeTree`: then only what the operator changed is written.
 */
export async function placementsOf(trx: Db, t: Tables, connectionId: string): Promise<Placements> {
  return (await readTree(trx, t, connectionId)).placed
}

/** Which organizations may get another place. All of them where nothing is said. */
export interface Which {
  /** Those that have none yet. */
  onlyNew?: boolean
  /** Those with these external ids. */
  only?: ReadonlySet<string>
  /**
   * Those of which the tree says something else than this, but not those that wait for a person since the platform put
   * them elsewhere; unless they were decided about themselves.
   */
  since?: Placements
  /** Our or external ids of the organizations that were decided about. */
  decided?: ReadonlySet<string>
}

/**
 * Recomputes paths and clients of the whole tree and writes what changed. Returns the external ids of the
 * organizations whose devices may belong elsewhere now. Everything it needs is in the database: no call to the
 * platform.
 */
export async function placeTree(trx: Db, t: Tables, connectionId: string, which: Which = {}): Promise<Set<string>> {
  const { rows, placed } = await readTree(trx, t, connectionId)
  const pairs = rows
    .map(row => ({ row, to: placed.get(row.external_id)! }))
    .filter(({ row, to }) => isConcerned(row, to, which))
  const decided = pairs.filter(
    ({ row, to }) => row.assignment !== to.assignment || row.effective_client_ref !== to.effectiveClientRef
  )
  const moved = pairs.filter(({ row, to }) => row.path !== to.path || Number(row.depth) !== to.depth)
  const written = [...new Set([...decided, ...moved])]
  if (written.length > 0) {
    await sql`update ${t.organization} o set path = x.path, depth = x.depth, assignment = x.assignment, effective_client_ref = x."effectiveClientRef"
      from jsonb_to_recordset(${JSON.stringify(written.map(({ row, to }) => ({ id: row.id, ...to })))}::jsonb) as x(id uuid, path text, depth int, assignment text, "effectiveClientRef" text)
      where o.id = x.id`.execute(trx)
  }
  return new Set(decided.map(({ row }) => row.external_id))
}

function isConcerned(row: PlacedRow, to: Placement, { onlyNew, only, since, decided }: Which): boolean {
  // An organization gets its path with its first place.
  if (onlyNew) return row.path === ''
  if (only !== undefined) return only.has(row.external_id)
  const before = since?.get(row.external_id)
  if (before === undefined || decided?.has(row.id) || decided?.has(row.external_id)) return true
  const waits = before.assignment !== row.assignment || before.effectiveClientRef !== row.effective_client_ref
  return !waits && !samePlace(before, to)
}

function samePlace(a: Placement, b: Placement): boolean {
  return a.path === b.path && a.assignment === b.assignment && a.effectiveClientRef === b.effectiveClientRef
}

export interface Reassign {
  /**
   * The devices of these organizations, or only of those that are there; or the devices that a read has shown and whose
   * organization is there, or none.
   */
  among: { organizations: ReadonlySet<string>; living?: boolean } | { pass: Pass }
  /**
   * `operator`: devices follow whatever the move policy, which is about the platform's decisions. `platform`: devices
   * without a client also find the one of an organization that was not known when they came.
   */
  by: 'operator' | 'platform'
}

type TargetRow = DeviceRow & { target: Assignment; target_client: string | null; assignment: Assignment }

/** Devices read or written in one statement: its text and its rows are put together in one piece. */
const moveAtOnce = 500

/** Devices that belong elsewhere by what their organization says now. */
export interface Reassignment {
  devices: Array<{ row: TargetRow; to: Assigned }>
  /** Those among them that would leave a client. */
  moves: Move[]
}

export async function planReassignment(
  trx: Db,
  t: Tables,
  context: MergeContext,
  { among, by }: Reassign
): Promise<Reassignment> {
  const concerned =
    'pass' in among
      ? sql`(o.assignment is not null or d.organization_external_id is null)
          and d.external_id in (select unnest(p.seen) from ${t.page} p where p.pass_id = any(${passesOf(among.pass)}::uuid[]))`
      : sql`d.organization_external_id = any(${[...among.organizations]}::text[]) and (not ${among.living ?? false} or o.assignment is not null)`
  const strays = async (after: string | null): Promise<TargetRow[]> => {
    const { rows } = await sql<TargetRow>`
    select ${deviceSelect}, coalesce(o.assignment, 'unmapped') as target, case when o.assignment = 'mapped' then o.effective_client_ref end as target_client
    from ${deviceFrom(t)} left join ${t.organization} o on o.connection_id = d.connection_id and o.external_id = d.organization_external_id and o.removed_at is null
    where d.connection_id = ${context.connectionId} and ${after === null ? sql`true` : sql`d.external_id > ${after}`} and d.removed_at is null and ${by === 'operator' ? concerned : sql`((${concerned}) or d.client_ref is null)`}
      and (d.assignment <> coalesce(o.assignment, 'unmapped')
        or (coalesce(o.assignment, 'unmapped') <> 'held' and d.client_ref is distinct from case when o.assignment = 'mapped' then o.effective_client_ref end))
    order by d.external_id limit ${moveAtOnce}`.execute(trx)
    return rows
  }
  const policy = by === 'operator' ? 'follow' : context.movePolicy
  const turn = createTurns()
  const devices: Reassignment['devices'] = []
  for (let last: string | null = null, more = true; more; ) {
    const rows = await strays(last)
    for (const row of rows) {
      const to = assign(
        { clientRef: row.client_ref, assignment: row.assignment, assetRef: row.asset_ref },
        { clientRef: row.target_client, assignment: row.target },
        policy
      )
      if (row.client_ref !== to.clientRef || row.assignment !== to.assignment) devices.push({ row, to })
      await turn()
    }
    last = rows.at(-1)?.external_id ?? null
    more = rows.length === moveAtOnce
  }
  const moves = devices.flatMap(({ row, to }): Move[] =>
    row.client_ref === null || row.client_ref === to.clientRef
      ? []
      : [{ externalId: row.external_id, displayName: row.display_name, from: row.client_ref, to: to.clientRef }]
  )
  return { devices, moves }
}

export async function applyReassignment(
  trx: Db,
  t: Tables,
  context: MergeContext,
  { devices }: Reassignment
): Promise<DeviceChange[]> {
  const turn = createTurns()
  const changes: DeviceChange[] = []
  for (let at = 0; at < devices.length; at += moveAtOnce) {
    const portion = devices.slice(at, at + moveAtOnce)
    await writeMoves(trx, t, context, portion)
    for (const device of portion) {
      changes.push(...moveChange(device))
      await turn()
    }
  }
  return changes
}

async function writeMoves(trx: Db, t: Tables, context: MergeContext, devices: Reassignment['devices']): Promise<void> {
  await sql`with moved as (update ${t.device} d set client_ref = x.client_ref, assignment = x.assignment, updated_at = now(),
      owed = case when ${!context.hears}::boolean and x.assignment = 'mapped' and d.client_ref is null then 'created' else d.owed end
    from jsonb_to_recordset(${JSON.stringify(devices.map(({ row, to }) => ({ id: row.id, client_ref: to.clientRef, assignment: to.assignment, before: row.client_ref })))}::jsonb) as x(id uuid, client_ref text, assignment text, before text)
    where d.id = x.id returning d.id, d.external_id, d.display_name, d.client_ref, x.before)
    insert into ${t.change} (${logColumns}, entity, entity_id, external_id, display_name, client_ref, kind, changed)
    select ${logValues(trx, context)}, 'device', m.id, m.external_id, m.display_name, m.client_ref, 'move', jsonb_build_array(jsonb_build_object('field', 'clientRef', 'from', m.before, 'to', m.client_ref))
    from moved m where m.before is distinct from m.client_ref`.execute(trx)
}

function moveChange({ row, to }: Reassignment['devices'][number]): DeviceChange[] {
  // What happened to a device while it was held was kept from the host; now it has to be told.
  const change = to.change ?? (row.assignment === 'held' && to.clientRef !== null ? 'updated' : null)
  if (change === null) return []
  const device = toDevice({
    ...row,
    client_ref: to.clientRef,
    assignment: to.assignment,
    updated_at: row['read_at']
  })
  return [{ change, ...(change === 'created' ? {} : { changed: movedFrom(row.client_ref, to.clientRef) }), device }]
}

function movedFrom(from: string | null, to: string | null): FieldChange[] {
  return from === to ? [] : [{ field: 'clientRef', from, to }]
}

/** Moves the devices of organizations about which an operator has decided. */
export async function reassignDevices(
  trx: Db,
  t: Tables,
  context: MergeContext,
  organizations: ReadonlySet<string>
): Promise<DeviceChange[]> {
  const plan = await planReassignment(trx, t, context, { among: { organizations }, by: 'operator' })
  return await applyReassignment(trx, t, context, plan)
}

/** Living devices that belong to a client; of a read, those that it did not bring itself. */
export async function mappedDevices(trx: Db, t: Tables, connectionId: string, pass?: Pass): Promise<number> {
  const before =
    pass === undefined
      ? sql`true`
      : sql`created_at < coalesce((select min(p.created_at) from ${t.page} p where p.pass_id = any(${passesOf(pass)}::uuid[])), now())`
  const { rows } = await sql<{ mapped: string | number }>`select count(client_ref) as mapped from ${t.device}
    where connection_id = ${connectionId} and removed_at is null and ${before}`.execute(trx)
  return Number(rows[0]!.mapped)
}

/** Which of these organizations are there. */
export async function knownOrganizations(
  { db, t }: Database,
  connectionId: string,
  externalIds: string[]
): Promise<Set<string>> {
  if (externalIds.length === 0) return new Set()
  const { rows } = await sql<{ external_id: string }>`select external_id from ${t.organization}
    where connection_id = ${connectionId} and external_id = any(${externalIds}::text[]) and removed_at is null`.execute(
    db
  )
  return new Set(rows.map(row => row.external_id))
}

/** How long moves by single reads are counted together. */
const together = sql`interval '1 hour'`

/**
 * Counts one more device that a single read is about to move, and returns it with those that were moved so lately and
 * those that are to move and still wait.
 */
export async function countMove(trx: Db, t: Tables, connectionId: string): Promise<number> {
  const lately = await sql<{ moves: string | number }>`update ${t.connection} set
      moves = case when moves_since > now() - ${together} then moves + 1 else 1 end,
      moves_since = case when moves_since > now() - ${together} then moves_since else now() end
    where id = ${connectionId} returning moves`.execute(trx)
  const waiting = await sql<{ waiting: string | number }>`select count(*) as waiting from ${t.device} d
    left join ${t.organization} o on o.connection_id = d.connection_id and o.external_id = d.organization_external_id and o.removed_at is null
    where d.connection_id = ${connectionId} and d.removed_at is null and d.client_ref is not null and (o.assignment is not null or d.organization_external_id is null)
      and coalesce(o.assignment, 'unmapped') <> 'held' and d.client_ref is distinct from case when o.assignment = 'mapped' then o.effective_client_ref end`.execute(
    trx
  )
  return Number(lately.rows[0]!.moves) + Number(waiting.rows[0]!.waiting)
}
