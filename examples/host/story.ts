import type { MikroORM } from '@mikro-orm/core'
import type { FastifyInstance } from 'fastify'
import type { Connection, CreateConnection, List, Organization, Run } from '../../src/index.ts'
import { Asset } from './entities.ts'
import { home } from './people.ts'
import { bold, draw, green, say, table, yellow } from './terminal.ts'

/** What the story is told with; `signal` ends it early when the host closes. */
export interface Stage {
  app: FastifyInstance
  orm: MikroORM
  signal: AbortSignal
}

/** Every item of a list, page by page. */
export async function everything<T>(
  read: (query: { limit: number; cursor?: string }) => Promise<List<T>>
): Promise<T[]> {
  const items: T[] = []
  for (let cursor: string | null | undefined; cursor !== null; ) {
    const page = await read({ limit: 200, ...(cursor === undefined ? {} : { cursor }) })
    items.push(...page.items)
    cursor = page.nextCursor
  }
  return items
}

/** The connection of this name, made at the first start; later it gets the address and the key it has now. */
export async function connect({ app }: Stage, input: CreateConnection & { name: string }): Promise<Connection> {
  const { connections } = app.rmm
  const existing = (await everything(query => connections.list(home, { ...query, provider: input.provider }))).find(
    ({ name }) => name === input.name
  )
  const { config = {}, secrets } = input
  const connection =
    existing === undefined
      ? (await connections.create(home, input)).connection
      : await connections.update(home, existing.id, { config, secrets })
  say(
    `${green('✓')} ${existing === undefined ? 'Connected' : 'Connected again'}: ${bold(connection.name)}, account ${connection.account}`
  )
  return connection
}

/** Level's part of the story: map at the first start, sync, and say what came of it. */
export async function tellLevel(stage: Stage, connection: Connection): Promise<void> {
  const { app } = stage
  const first = connection.counts.devices === 0
  // Also where the first start was ended before it came to mapping.
  if (connection.counts.mappedOrganizations === 0) {
    const { run } = await app.rmm.sync.start(home, connection.id, { resources: ['organizations'] })
    await app.rmm.sync.settled(home, run.id, stage.signal)
    await map(stage, connection)
  }
  const expected = first
    ? sum(await organizations(stage, connection.id), ({ deviceCount }) => deviceCount)
    : connection.counts.devices
  say(`\n${bold(first ? 'First sync' : 'Sync')} of everything:`)
  const run = await syncNow(stage, connection, expected)
  if (run === undefined) return
  await report(stage, run, first)
}

/** Starts a sync, draws it and returns its end; undefined where the host closes before. */
export async function syncNow(
  { app, signal }: Stage,
  connection: Connection,
  expected: number
): Promise<Run | undefined> {
  const { run } = await app.rmm.sync.start(home, connection.id)
  const ended = await draw(app.rmm.sync.watch(home, run.id, signal), expected)
  return signal.aborted ? undefined : ended
}

const organizations = ({ app }: Stage, connectionId: string): Promise<Organization[]> =>
  everything(query => app.rmm.organizations.list(home, connectionId, query))
const sum = <T>(items: T[], of: (item: T) => number): number => items.reduce((total, item) => total + of(item), 0)

/** What the operator decides who reads the suggestions: group name to client, or null for "none of ours". */
const byHand: Record<string, string | null> = {
  'Summit Pharmacies': 'c-summit',
  Juniper: 'c-juniper',
  'Workshop and loaners': null
}
/** From here on a suggestion is taken without asking. Lower ones are for a person to judge. */
const goodEnough = 0.9

async function map(stage: Stage, connection: Connection): Promise<void> {
  const { organizations: mapping } = stage.app.rmm
  const groups = await organizations(stage, connection.id)
  const suggestions = await everything(query => mapping.suggestions(home, connection.id, query))
  const rivals = (organizationId: string) => suggestions.filter(other => other.organizationId === organizationId).length
  const good = suggestions.filter(({ organizationId, score }) => score >= goodEnough && rivals(organizationId) === 1)
  const decided = groups.filter(({ name, depth }) => depth === 0 && name in byHand)
  const decisions = [
    ...good.map(({ organizationId, clientRef }) => ({ organizationId, mode: 'mapped' as const, clientRef })),
    ...decided.map(({ id, name }) =>
      byHand[name] === null
        ? { organizationId: id, mode: 'excluded' as const }
        : { organizationId: id, mode: 'mapped' as const, clientRef: byHand[name] as string }
    )
  ]
  if (decisions.length > 0) await mapping.map(home, connection.id, decisions)
  const nameOf = new Map(groups.map(({ id, path }) => [id, path]))
  say(
    `\n${bold('Mapping')}: ${groups.length} groups, ${good.length} good suggestions taken, ${decided.length} decided by hand, the rest inherits or stays unmapped`
  )
  table([
    ...good.map(({ organizationId, clientName, score, reason }) => [
      nameOf.get(organizationId) ?? '',
      `→ ${clientName}`,
      `suggested, ${score} (${reason})`
    ]),
    ...decided.map(({ name }) => [name, byHand[name] === null ? '→ excluded' : `→ ${byHand[name]}`, 'by hand'])
  ])
}

async function report(stage: Stage, run: Run, first: boolean): Promise<void> {
  const { totals, status, summary, error } = run
  say(`\n${status === 'succeeded' ? green('✓') : yellow('!')} ${status}: ${summary ?? error?.message ?? ''}`)
  table(Object.entries(totals).map(([what, count]) => [what, String(count)]))
  const items = await everything(query => stage.app.rmm.sync.items(home, run.id, query))
  if (items.length > 0) {
    say(`\n${bold('Not taken, and why')} (GET /rmm/runs/${run.id}/items)`)
    table(
      items
        .slice(0, 20)
        .map(({ resource, externalId, outcome, reason }) => [
          outcome,
          resource,
          externalId ?? '(no usable id)',
          reason
        ]),
      28
    )
    if (items.length > 20) say(`  … and ${items.length - 20} more`)
  }
  await reportUnmapped(stage, run.connectionId)
  await reportAssets(stage, run, first)
}

async function reportUnmapped(stage: Stage, connectionId: string): Promise<void> {
  const groups = (await organizations(stage, connectionId)).filter(
    ({ depth, effectiveClientRef }) => depth === 0 && effectiveClientRef === null
  )
  if (groups.length === 0) return
  say(`\n${bold("Kept in the inventory, but no client's")}: devices in no group, and those of`)
  table(
    groups
      .slice(0, 10)
      .map(({ name, deviceCount, descendantDeviceCount, mapping }) => [
        name,
        `${deviceCount + descendantDeviceCount} devices`,
        mapping.mode === 'excluded' ? 'excluded by hand' : 'not mapped yet'
      ])
  )
  if (groups.length > 10) say(`  … and ${groups.length - 10} more groups`)
  say(`  PUT /rmm/connections/${connectionId}/mappings maps them.`)
}

/** The host's own table, written by `onChanges` in the same transactions as the devices. */
async function reportAssets({ orm }: Stage, run: Run, first: boolean): Promise<void> {
  const em = orm.em.fork()
  const total = await em.count(Asset, { tenantId: home })
  const changed = { tenantId: home, changedAt: { $gte: new Date(run.startedAt ?? run.queuedAt) } }
  const count = await em.count(Asset, changed)
  say(
    `\n${bold('Assets in the PSA')}: ${total}, ${count} of them ${first ? 'created or changed' : 'changed'} by this run`
  )
  if (first || count === 0) return
  table(
    (await em.find(Asset, changed, { orderBy: { lastChange: 'asc', name: 'asc' }, limit: 20 })).map(
      ({ name, clientId, lastChange }) => [name, clientId, lastChange]
    )
  )
}
