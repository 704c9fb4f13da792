import { type Kysely, type KyselyPlugin, sql } from 'kysely'
import t from 'tap'
import { migrate } from '../../../src/migrate.ts'
import { listAlerts } from '../../../src/services/store/alerts.ts'
import { listConnections } from '../../../src/services/store/connections.ts'
import { type Database, openDatabase } from '../../../src/services/store/database.ts'
import { listDeliveries } from '../../../src/services/store/deliveries.ts'
import { listDevices } from '../../../src/services/store/devices/devices.ts'
import { listOrganizations } from '../../../src/services/store/organizations.ts'
import { listRunItems, listRuns } from '../../../src/services/store/runs/runs.ts'
import type { DeviceFilter, List, PageQuery } from '../../../src/types.ts'
import { databaseKind, dropSchema, openOrm, testSchema } from '../../helper.ts'

/** Of tenant t1: one with most of everything, and a small one beside it. Of tenant t2: the rest. */
const large = '00000000-0000-4000-8000-000000000001'
const small = '00000000-0000-4000-8000-000000000002'
const foreign = '00000000-0000-4000-8000-000000000003'
const run = '00000000-0000-4000-8000-0000000000aa'
const deviceId = sql`('00000000-0000-4000-9000-' || lpad(n::text, 12, '0'))::uuid`
const oneDevice = '00000000-0000-4000-9000-000000000007'
const connectionOf = sql`(case when n % 100 < 75 then ${large} when n % 100 < 80 then ${small} else ${foreign} end)::uuid`
const tenantOf = sql`case when n % 100 < 80 then 't1' else 't2' end`

async function fill({ db, t }: Database): Promise<void> {
  const series = (count: number) => sql`from generate_series(1, ${count}::int) n`
  await sql`insert into ${t.connection} (id, tenant_id, provider, name, hook_key, created_at) select x.id::uuid, x.tenant, 'levelio', 'Level', x.id, now() - interval '1 day'
    from (values (${large}, 't1'), (${small}, 't1'), (${foreign}, 't2')) as x(id, tenant)`.execute(db)
  await sql`insert into ${t.organization} (tenant_id, connection_id, external_id, name, path, hash, observed_at)
    select ${tenantOf}, ${connectionOf}, 'g' || n, 'Group ' || n, 'Group ' || n, md5(n::text), now() ${series(5_000)}`.execute(
    db
  )
  await sql`insert into ${t.device} (id, tenant_id, connection_id, provider, external_id, organization_external_id, client_ref, display_name, hostname, serial_number, hash, observed_at, removed_at)
    select ${deviceId}, ${tenantOf}, ${connectionOf}, 'levelio', 'd' || n, 'g' || (n % 5000), case when n % 10 > 0 then 'c' || n % 50 end, 'PC-' || md5(n::text), 'host-' || n, 'SN' || n, md5(n::text), now(),
      case when n % 50 = 0 then now() end ${series(100_000)}`.execute(db)
  await sql`insert into ${t.device_status} (device_id, tenant_id, connection_id, online, hash, observed_at) select ${deviceId}, ${tenantOf}, ${connectionOf}, n % 3 > 0, 'h', now() ${series(100_000)}`.execute(
    db
  )
  await sql`insert into ${t.alert} (tenant_id, connection_id, external_id, device_external_id, name, severity, status, started_at, hash, observed_at)
    select ${tenantOf}, ${connectionOf}, 'a' || n, 'd' || n, 'Disk full', (array['critical', 'major', 'moderate', 'minor'])[1 + n % 4], case when n % 20 = 0 then 'active' else 'resolved' end,
      now() - n * interval '1 minute', 'h', now() ${series(20_000)}`.execute(db)
  await sql`insert into ${t.run} (id, tenant_id, connection_id, provider, trigger, resources, mode, transport, status, queued_at)
    select case when n = 5000 then ${run}::uuid else gen_random_uuid() end, ${tenantOf}, ${connectionOf}, 'levelio', 'schedule', '["devices"]', 'full', 'direct', 'succeeded', now() - n * interval '1 hour' ${series(5_000)}`.execute(
    db
  )
  await sql`insert into ${t.run_item} (tenant_id, connection_id, run_id, resource, external_id, outcome, reason)
    select r.tenant_id, r.connection_id, r.id, 'devices', 'd' || n, case when n % 2 = 0 then 'failed' else 'skipped' end, 'no name'
    from ${t.run} r, generate_series(1, case when r.id = ${run} then 2000 else 20 end) n`.execute(db)
  await sql`insert into ${t.delivery} (tenant_id, connection_id, event_id, event_type, body, status, received_at)
    select ${tenantOf}, ${connectionOf}, 'e' || n, 'device_updated', '{}', 'done', now() - n * interval '1 minute' ${series(5_000)}`.execute(
    db
  )
  for (const table of Object.values(t)) await sql`analyze ${table}`.execute(db)
}

interface Plan {
  'Node Type': string
  'Relation Name'?: string
  'Actual Rows': number
  'Actual Loops': number
  'Rows Removed by Filter'?: number
  'Shared Hit Blocks': number
  'Shared Read Blocks': number
  Plans?: Plan[]
}

const nodesOf = (plan: Plan): Plan[] => [plan, ...(plan.Plans ?? []).flatMap(nodesOf)]
const touched = (plan: Plan): number => plan['Shared Hit Blocks'] + plan['Shared Read Blocks']

/** The plan, executed, of the one statement that `list` sends. */
async function explain(database: Database, list: (database: Database) => Promise<unknown>): Promise<Plan> {
  const sent: Array<{ sql: string; parameters: readonly unknown[] }> = []
  const executor = database.db.getExecutor()
  const capture: KyselyPlugin = {
    transformQuery({ node, queryId }) {
      sent.push(executor.compileQuery(node, queryId))
      return node
    },
    transformResult: async ({ result }) => result
  }
  await list({ ...database, db: database.db.withPlugin(capture) as Kysely<unknown> as Database['db'] })
  if (sent.length !== 1) throw new Error(`a list is one statement, not ${sent.length}`)
  const [query] = sent
  // Parameters stay parameters: the plan is that of the statement as it is sent.
  const { rows } = await database.db.executeQuery<{ 'QUERY PLAN': Array<{ Plan: Plan }> }>({
    ...query!,
    sql: `explain (analyze, buffers, format json) ${query!.sql}`
  } as never)
  return rows[0]!['QUERY PLAN'][0]!.Plan
}

/** Rows that a statement may sort: one page and the one more that tells whether there is a next. */
const pageRows = 51

interface Case {
  name: string
  list: (database: Database, query: PageQuery) => Promise<List<unknown>>
  /** Why this list may read a whole table, or sort more than a page. */
  mayScan?: string
  maySort?: string
  /** A list that ends within a page has no middle. */
  short?: boolean
}

const cases: Case[] = [
  ...Object.entries({
    'no filter': {},
    'one connection': { connectionId: large },
    'a small connection': { connectionId: small },
    'one client': { clientRef: 'c7' },
    online: { online: true },
    offline: { online: false },
    mapped: { mapped: true },
    unmapped: { mapped: false },
    removed: { removed: true },
    present: { removed: false },
    'removed ones as well': { removed: 'any' },
    'one provider': { provider: 'levelio' },
    'every filter but the search': { connectionId: large, clientRef: 'c7', online: true, mapped: true, removed: false }
  }).map(
    ([name, filter]): Case => ({
      name: `devices, ${name}`,
      list: (database, query) => listDevices(database, 't1', { ...(filter as DeviceFilter), ...query })
    })
  ),
  {
    name: 'devices, one organization and those below',
    list: (database, query) =>
      listDevices(database, 't1', { organizationExternalId: 'g7', descendants: true, ...query }),
    short: true
  },
  ...(['lastSeenAt', 'updatedAt'] as const).map(
    (sort): Case => ({
      name: `devices, by ${sort}`,
      list: (database, query) => listDevices(database, 't1', { sort, ...query }),
      mayScan: 'an index on a time would have to be written with every heartbeat, or with every change of a device',
      maySort: 'see above'
    })
  ),
  {
    name: 'devices, a common search',
    list: (database, query) => listDevices(database, 't1', { q: 'host-1', ...query })
  },
  {
    name: 'devices, a search that finds few',
    list: (database, query) => listDevices(database, 't1', { q: 'SN77777', ...query }),
    short: true,
    mayScan:
      "text within seven columns has no index without an extension (pg_trgm), which a host's role may not be allowed to create",
    maySort: 'see above'
  },
  ...Object.entries({
    'no filter': {},
    'one connection': { connectionId: large },
    'a small connection': { connectionId: small },
    active: { status: 'active' },
    critical: { severity: 'critical' },
    'active ones of a connection': { connectionId: large, status: 'active' }
  } as const).map(
    ([name, filter]): Case => ({
      name: `alerts, ${name}`,
      list: (database, query) => listAlerts(database, 't1', { ...filter, ...query })
    })
  ),
  {
    name: 'alerts, one device',
    list: (database, query) => listAlerts(database, 't1', { deviceId: oneDevice, ...query }),
    short: true
  },
  {
    name: 'organizations',
    list: (database, query) => listOrganizations(database, 't1', large, query),
    maySort: 'the organizations of one connection, by their path, which may be longer than an index takes'
  },
  { name: 'runs', list: (database, query) => listRuns(database, 't1', { connectionId: large, ...query }) },
  { name: 'runs of all connections', list: (database, query) => listRuns(database, 't1', query) },
  {
    name: 'runs of all connections, those that succeeded',
    list: (database, query) => listRuns(database, 't1', { status: 'succeeded', kind: 'sync', ...query })
  },
  { name: 'run items', list: (database, query) => listRunItems(database, 't1', run, query) },
  {
    name: 'run items, one outcome',
    list: (database, query) => listRunItems(database, 't1', run, { outcome: 'failed', ...query })
  },
  { name: 'deliveries', list: (database, query) => listDeliveries(database, 't1', large, query) },
  {
    name: 'connections',
    list: (database, query) => listConnections(database, 't1', query),
    short: true,
    mayScan: 'counts every device of the connections listed, here most of the table'
  }
]

/** What grows with the devices and with time. */
const bigTables = ['rmm_device', 'rmm_device_status', 'rmm_alert', 'rmm_run', 'rmm_run_item', 'rmm_delivery']

t.test(
  'lists at 100,000 devices',
  { skip: databaseKind === 'pglite' && 'plans are asserted on PostgreSQL only: set TEST_DATABASE_URL' },
  async t => {
    const schema = testSchema()
    const orm = await openOrm(t, schema)
    await migrate(orm, { schema })
    const database = await openDatabase(orm, schema)
    t.teardown(() => dropSchema(orm, schema))
    await fill(database)

    for (const { name, list, mayScan, maySort, short } of cases) {
      await t.test(name, async t => {
        const first = await explain(database, database => list(database, {}))
        const middle = short ? undefined : await middleOf(cursor => list(database, cursor))
        t.equal(middle === undefined, short === true, 'has a page in the middle, unless it is short')
        const plans =
          middle === undefined
            ? [first]
            : [first, await explain(database, database => list(database, { cursor: middle }))]
        for (const nodes of plans.map(nodesOf)) {
          const scanned = nodes.filter(node => node['Node Type'] === 'Seq Scan').map(node => node['Relation Name'])
          if (mayScan === undefined)
            t.notOk(
              scanned.some(table => bigTables.includes(table!)),
              `reads no table from end to end (${scanned.join()})`
            )
          const sorted = nodes
            .filter(node => /Sort$/.test(node['Node Type']))
            .map(node => Math.max(...node.Plans!.map(input => input['Actual Rows'])))
          if (maySort === undefined)
            t.notOk(
              sorted.some(rows => rows > pageRows),
              `sorts no more than a page (${sorted.join()})`
            )
        }
        if (middle !== undefined)
          t.ok(
            touched(plans[1]!) <= touched(plans[0]!) * 2 + 50,
            `a page in the middle touches about as many blocks as the first (${touched(plans[0]!)}, ${touched(plans[1]!)})`
          )
      })
    }
  }
)

/** The cursor half-way through at most forty pages of two hundred. */
async function middleOf(list: (query: PageQuery) => Promise<List<unknown>>): Promise<string | undefined> {
  const cursors: string[] = []
  let cursor: string | undefined
  do {
    const { nextCursor } = await list({ limit: 200, ...(cursor === undefined ? {} : { cursor }) })
    cursor = nextCursor ?? undefined
    if (cursor !== undefined) cursors.push(cursor)
  } while (cursor !== undefined && cursors.length < 40)
  return cursors[cursors.length >> 1]
}
