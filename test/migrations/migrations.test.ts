import { spawn } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { defineEntity, EntityCaseNamingStrategy, type MikroORM, p } from '@mikro-orm/core'
import Fastify from 'fastify'
import { sql } from 'kysely'
import t, { type Test } from 'tap'
import { RmmConnection, RmmDevice, RmmPass, RmmRun, rmmEntities, rmmSync, withRmmSync } from '../../src/index.ts'
import { migrate, migrationPlan, pendingMigrations } from '../../src/migrate.ts'
import { migrations } from '../../src/migrations/index.ts'
import { openDatabase } from '../../src/services/store/database.ts'
import { Asset, databaseKind, secrets } from '../helper.ts'
import { type EmptyDatabase, emptyDatabase, fingerprint } from './database.ts'

const schema = 'rmm_other'
const allNames = migrations.map(({ name }) => name)

interface SchemaTool {
  getUpdateSchemaSQL(options?: object): Promise<string>
}
const toolOf = (orm: MikroORM) => (orm as unknown as { schema: SchemaTool }).schema
/** A diff without its `set names` preamble. */
const planned = (text: string) =>
  text
    .split('\n')
    .map(line => line.trim())
    .filter(line => line !== '' && !line.startsWith('set names'))

const hostOf = (database: EmptyDatabase, config: object = {}) =>
  database.connect(withRmmSync({ entities: [Asset], ...config }, { schema }))

async function tablesIn(orm: MikroORM, name = schema): Promise<string[]> {
  const rows: Array<{ table_name: string }> = await orm.em
    .getConnection()
    .execute('select table_name from information_schema.tables where table_schema = ? order by 1', [name])
  return rows.map(row => row.table_name)
}

async function register(t: Test, orm: MikroORM, options: object): Promise<void> {
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(rmmSync, {
    orm,
    schema,
    providers: [],
    tenant: () => 't1',
    authorize: () => {},
    secrets,
    ...options
  } as never)
  await app.ready()
}

interface Exit {
  code: number | null
  out: string
  err: string
}

function cli(args: string[], env: Record<string, string> = {}): Promise<Exit> {
  const { DATABASE_URL: _, ...inherited } = process.env
  const child = spawn(process.execPath, [fileURLToPath(new URL('../../src/cli.ts', import.meta.url)), ...args], {
    env: { ...inherited, ...env }
  })
  const exit: Exit = { code: null, out: '', err: '' }
  child.stdout.on('data', chunk => {
    exit.out += chunk
  })
  child.stderr.on('data', chunk => {
    exit.err += chunk
  })
  return new Promise((resolve, reject) => child.on('error', reject).on('close', code => resolve({ ...exit, code })))
}

t.test('the entities and the migrations describe the same tables', async t => {
  const database = await emptyDatabase(t)
  const host = await hostOf(database)
  await migrate(host, { schema })
  const ours = await database.connect({ entities: [...rmmEntities], schema, contextName: 'rmm' })
  t.same(planned(await toolOf(ours).getUpdateSchemaSQL({ schema })), [], 'nothing to change')
  t.same(await tablesIn(host), rmmEntities.map(entity => entity.meta.tableName).sort(), 'one entity per table')

  await host.em.getConnection().execute(`alter table ${schema}.rmm_device drop column hostname`)
  t.match(
    planned(await toolOf(ours).getUpdateSchemaSQL({ schema })).join(),
    /add "hostname" text null/,
    'the comparison would notice a difference'
  )
})

t.test('a host reads our tables through its own ORM, whatever its naming strategy and filters', async t => {
  const database = await emptyDatabase(t)
  const filters = {
    tenant: {
      name: 'tenant',
      cond: () => {
        throw new Error('the host filter ran on our entity')
      },
      default: true,
      args: false
    }
  }
  const host = await hostOf(database, {
    entities: [Asset, ...rmmEntities],
    namingStrategy: EntityCaseNamingStrategy,
    filters
  })
  await migrate(host, { schema })
  const { db, t: tables } = await openDatabase(host, schema)
  const { rows } = await sql<{
    id: string
  }>`insert into ${tables.connection} (tenant_id, provider, name, sealed_secrets, hook_key, hook_secret) values ('t1', 'levelio', 'Level', 'sealed!', 'key!', 'hook!') returning id`.execute(
    db
  )
  const connectionId = rows[0]!.id
  await sql`insert into ${tables.device} (tenant_id, connection_id, provider, external_id, display_name, ram_bytes, tags, last_reboot_at, hash, observed_at)
    values ('t1', ${connectionId}, 'levelio', 'd1', 'Front desk', 34359738368, '["vip"]', '2026-11-22T08:00:00.123Z', 'h', now())`.execute(
    db
  )
  await sql`insert into ${tables.run} (tenant_id, connection_id, provider, trigger, resources, mode, transport) values ('t1', ${connectionId}, 'levelio', 'manual', '["devices"]', 'full', 'direct')`.execute(
    db
  )
  await sql`insert into ${tables.pass} (id, connection_id, resource, tenant_id, mode, started_at) values (gen_random_uuid(), ${connectionId}, 'devices', 't1', 'full', now())`.execute(
    db
  )

  const em = host.em.fork()
  const read = { schema, filters: false } as const
  const [device, ...others] = await em.find(RmmDevice, { tenantId: 't1' }, read)
  t.same(others, [])
  t.match(device, {
    connectionId,
    displayName: 'Front desk',
    ramBytes: 34359738368,
    tags: ['vip'],
    assetType: 'workstation',
    hostname: null
  })
  t.equal(device?.lastRebootAt?.toISOString(), '2026-11-22T08:00:00.123Z')
  t.match(await em.findOneOrFail(RmmRun, { connectionId }, read), {
    status: 'queued',
    resources: ['devices'],
    fence: 0
  })
  t.match(await em.findOneOrFail(RmmPass, { connectionId, resource: 'devices' }, read), { complete: false })

  const connection = await em.findOneOrFail(RmmConnection, connectionId, read)
  t.equal(connection.sealedSecrets, undefined, 'what is sealed is not even read')
  t.notMatch(JSON.stringify(connection), /sealed!|key!|hook!/)
  const everything = await host.em.fork().findOneOrFail(RmmConnection, connectionId, {
    ...read,
    populate: ['sealedSecrets', 'hookKey', 'hookSecret'] as never
  })
  t.equal(everything.sealedSecrets, 'sealed!', 'unless it is asked for')
  t.notMatch(JSON.stringify(everything), /sealed!|key!|hook!/, 'and it is never serialised')
})

t.test("'check' refuses a database that is behind, 'run' applies, 'off' does neither", async t => {
  const host = await hostOf(await emptyDatabase(t))
  await t.rejects(
    register(t, host, {}),
    { code: 'RMM_ERR_MIGRATION', message: /'rmm_other' lacks 0001_init.*npx rmm-sync migrate.*migrations: 'run'/ },
    'check is the default'
  )
  t.same(await tablesIn(host), [], 'a refusal leaves nothing behind')
  await register(t, host, { migrations: 'off', worker: { enabled: false } })
  t.same(await tablesIn(host), [])
  t.same(await pendingMigrations(host, { schema }), allNames)

  await register(t, host, { migrations: 'run' })
  const tables = await fingerprint(host, schema)
  t.same(await pendingMigrations(host, { schema }), [])
  await register(t, host, { migrations: 'run' })
  await register(t, host, { migrations: 'check' })
  t.same(await migrate(host, { schema }), [], 'applied once, never again')
  t.same(await fingerprint(host, schema), tables)
})

t.test(
  'replicas that start together apply a migration once',
  { skip: databaseKind === 'pglite' && 'PGlite has a single session: nothing runs at once there' },
  async t => {
    const database = await emptyDatabase(t)
    const replicas = await Promise.all([1, 2, 3, 4].map(() => hostOf(database)))
    const applied = await Promise.all(replicas.map(replica => migrate(replica, { schema })))
    t.same(applied.flat(), allNames)
    t.same(await pendingMigrations(replicas[0]!, { schema }), [])
  }
)

t.test('a statement that fails takes the whole migration back', async t => {
  const database = await emptyDatabase(t)
  const host = await hostOf(database)
  await database.script(`create schema ${schema}; create table ${schema}.rmm_outbox (id int)`)
  await t.rejects(migrate(host, { schema }), /rmm_outbox/)
  t.same(await tablesIn(host), ['rmm_outbox'], 'only what was there before')
  await database.script(`drop table ${schema}.rmm_outbox`)
  t.same(await migrate(host, { schema }), allNames, 'and it can be repeated once the obstacle is gone')
})

t.test(
  'a role that may not create schemas migrates into one it was given',
  { skip: databaseKind === 'pglite' && 'PGlite knows one user only' },
  async t => {
    const database = await emptyDatabase(t)
    const role = `${new URL(database.url!).pathname.slice(1)}_role`
    await database.script(`create role ${role} login; create schema ${schema} authorization ${role}`)
    const admin = await hostOf(database)
    t.teardown(() => admin.em.getConnection().execute(`drop owned by ${role}; drop role ${role}`))
    const url = new URL(database.url!)
    url.username = role
    const { code, out, err } = await cli(['migrate', '--schema', schema], { DATABASE_URL: url.href })
    t.match({ code, out, err }, { code: 0, out: /0001_init/, err: '' })
  }
)

t.test('the plan is SQL that any client applies, to the same tables', async t => {
  const database = await emptyDatabase(t)
  const host = await hostOf(database)
  const { code, out } = await cli(['migrate', '--plan', '--schema', 'rmm_by_hand'])
  t.equal(code, 0)
  t.equal(out, ['begin', ...migrationPlan('rmm_by_hand'), 'commit'].map(statement => `${statement};\n`).join(''))
  await database.script(out)
  t.same(await pendingMigrations(host, { schema: 'rmm_by_hand' }), [])
  await migrate(host, { schema })
  t.same(await fingerprint(host, 'rmm_by_hand'), await fingerprint(host, schema))
})

t.test(
  "the host's schema diff leaves our tables alone, and boot refuses a host whose diff would drop them",
  async t => {
    const database = await emptyDatabase(t)
    const host = await hostOf(database)
    await register(t, host, { migrations: 'run' })
    t.notMatch(await toolOf(host).getUpdateSchemaSQL(), /rmm_/)
    const careless = await database.connect({ entities: [Asset], contextName: 'careless' })
    t.match(await toolOf(careless).getUpdateSchemaSQL(), /drop table.*rmm_device/, 'this is what it protects from')
    await t.rejects(register(t, careless, {}), {
      code: 'RMM_ERR_SCHEMA_NOT_IGNORED',
      message: /withRmmSync\(config, { schema: 'rmm_other' }\)/
    })
  }
)

t.test("withRmmSync keeps what the host configured and does not touch the host's object", t => {
  const config = { dbName: 'psa', schemaGenerator: { disableForeignKeys: true, ignoreSchema: ['audit'] } }
  t.same(withRmmSync(config, { schema }), {
    dbName: 'psa',
    schemaGenerator: { disableForeignKeys: true, ignoreSchema: ['audit', 'rmm_other', 'rmm_queue'] }
  })
  t.same(withRmmSync(withRmmSync({})), { schemaGenerator: { ignoreSchema: ['rmm', 'rmm_queue'] } })
  t.same(withRmmSync({}, { transportSchemas: ['jobs'] }), {
    schemaGenerator: { ignoreSchema: ['rmm', 'rmm_queue', 'jobs'] }
  })
  t.same(config.schemaGenerator.ignoreSchema, ['audit'])
  t.end()
})

t.test('the list of migrations has every file on disk, in order', t => {
  const files = readdirSync(new URL('../../src/migrations/', import.meta.url))
    .filter(file => /^\d/.test(file))
    .map(file => file.replace('.ts', ''))
    .sort()
  t.same(allNames, files)
  t.end()
})

t.test('the command line says what is wrong and exits with a code of its own', async t => {
  t.match(await cli(['--help']), { code: 0, out: /Usage: rmm-sync migrate/, err: '' })
  t.match(await cli(['migrate']), { code: 2, err: /Give --url postgresql:/ })
  t.match(await cli(['rollback']), { code: 2, err: /unknown command 'rollback'/ })
  t.match(await cli(['migrate', '--force']), { code: 2, err: /--force/ })
  t.match(await cli(['sinks', '--plan']), { code: 2, err: /'sinks' knows no --plan/ })
  t.match(await cli(['migrate', '--drop', 'x']), { code: 2, err: /'migrate' knows no --drop/ })
  t.match(await cli(['migrate', '--schema', 'public', '--plan']), { code: 2, err: /option 'schema' is "public"/ })
  t.match(await cli(['migrate', '--url', 'mysql://localhost/psa']), { code: 2, err: /postgresql:\/\// })
  const refused = await cli(['migrate', '--url', 'postgresql://psa:hunter2@127.0.0.1:1/psa'])
  t.match(refused, { code: 1, err: /ECONNREFUSED/ })
  t.notMatch(refused.err, /hunter2/)
})

t.test(
  'the command line migrates a database',
  { skip: databaseKind === 'pglite' && 'needs a PostgreSQL server: set TEST_DATABASE_URL' },
  async t => {
    const { url } = await emptyDatabase(t)
    t.match(await cli(['migrate', '--url', url!, '--schema', schema]), {
      code: 0,
      out: `applied to the schema 'rmm_other': ${allNames.join(', ')}\n`
    })
    t.match(await cli(['sinks', '--schema', schema], { DATABASE_URL: url! }), {
      code: 0,
      out: /^sink +pending +oldest/
    })
    t.match(await cli(['sinks', '--schema', schema, '--drop', 'gone'], { DATABASE_URL: url! }), {
      code: 1,
      err: /Sink not found/
    })
    t.match(await cli(['migrate', '--schema', schema], { DATABASE_URL: url! }), {
      code: 0,
      out: "the schema 'rmm_other' is up to date\n"
    })
    t.match(await cli(['migrate', '--plan', '--schema', schema, '--url', url!]), { code: 0, out: /up to date/ })
  }
)

t.test("a host entity beside ours keeps the host's own schema", async t => {
  const Ticket = defineEntity({
    name: 'Ticket',
    tableName: 'ticket',
    properties: { id: p.integer().primary(), deviceId: p.uuid() }
  })
  const host = await hostOf(await emptyDatabase(t), { entities: [Ticket, ...rmmEntities] })
  await register(t, host, { migrations: 'run' })
  const diff = planned(await toolOf(host).getUpdateSchemaSQL())
  t.match(diff.join(), /create table "ticket"/)
  t.notMatch(diff.join(), /rmm_/, 'listing our entities plans nothing on our tables')
})
