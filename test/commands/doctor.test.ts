import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { MikroORM } from '@mikro-orm/core'
import { sql } from 'kysely'
import t, { type Test } from 'tap'
import { diagnose, toldDiagnosis } from '../../src/commands/doctor.ts'
import type { Given } from '../../src/commands/given.ts'
import { aesGcmSecretBox } from '../../src/index.ts'
import { openDatabase } from '../../src/services/store/index.ts'
import { build, connectLevel, databaseKind, databaseUrl, fakeLevel, secrets } from '../helper.ts'

const still = { worker: { enabled: false } }
const { signal } = new AbortController()
const otherBox = aesGcmSecretBox({ keys: { k2: Buffer.alloc(32, 2).toString('base64') }, current: 'k2' })

async function patient(t: Test) {
  const host = await build(t, still)
  const connectionId = await connectLevel(host, await fakeLevel(t, { devices: 1, groups: 1 }))
  const database = await openDatabase(host.orm, host.schema)
  const given: Given = { secrets, orm: host.orm as MikroORM }
  const look = async (more: Given = {}) => await diagnose(database, { ...given, ...more }, signal)
  return { host, connectionId, database, look, db: database.db, tables: database.t }
}

const stateOf = ({ checks }: Awaited<ReturnType<typeof diagnose>>) =>
  Object.fromEntries(checks.map(({ name, state }) => [name, state]))

t.test('what is well is said to be, and what cannot be looked at too', async t => {
  const { look, database } = await patient(t)
  const well = await look()
  t.match(well, { ok: true })
  t.strictSame(new Set(Object.values(stateOf(well))), new Set(['ok']))
  const alone = await diagnose(database, {}, signal)
  t.match(stateOf(alone), { tables: 'ok', schemas: 'skipped', addresses: 'ok', keys: 'skipped' })
  t.equal(alone.ok, true)
  t.match(toldDiagnosis(alone), /- keys {8}not looked at: .*--options/)
})

t.test('every fault is found for itself, with what it is found in', async t => {
  const { look, db, tables, connectionId, host } = await patient(t)
  await sql`update ${tables.connection} set config = '{"baseUrl":"https://api.example.com/?token=hunter2"}'`.execute(db)
  const addresses = await look()
  t.match(addresses, {
    ok: false,
    checks: [
      { name: 'tables', state: 'ok' },
      { name: 'schemas', state: 'ok' },
      {
        name: 'addresses',
        state: 'fault',
        found: [{ connectionId, tenantId: 't1', field: 'baseUrl', what: 'contains a query' }]
      }
    ]
  })
  t.notMatch(JSON.stringify(addresses) + toldDiagnosis(addresses), /hunter2/, 'the secret itself is not shown')
  await sql`update ${tables.connection} set config = '{"baseUrl":"http://rmm.example.com"}', provider = 'gone'`.execute(
    db
  )
  t.match(stateOf(await look()), { addresses: 'ok' }, 'what a provider that is not known may do is not judged')
  await sql`update ${tables.connection} set config = '{"baseUrl":"http://203.0.114.9"}', provider = 'levelio'`.execute(
    db
  )
  t.match(stateOf(await look()), { addresses: 'fault' }, 'in the clear over a public network')
  await sql`update ${tables.connection} set config = '{}'`.execute(db)

  t.match(await look({ secrets: otherBox }), {
    ok: false,
    checks: [{}, {}, { name: 'addresses', state: 'ok' }, { name: 'keys', state: 'fault', found: [{ keyId: 'test' }] }]
  })
  t.equal((await host.call('t1', 'GET', '/health')).body.keys.missing.length, 0)

  await sql`insert into ${tables.run} (tenant_id, connection_id, provider, trigger, resources, mode, transport, status, lease_until)
    values ('t1', ${connectionId}, 'levelio', 'manual', '["devices"]', 'full', 'direct', 'running', now() - interval '1 hour')`.execute(
    db
  )
  await sql`insert into ${tables.sink} (name, failures, last_error, seen_at) values ('slow', 3, 'refused', now())`.execute(
    db
  )
  await sql`update ${tables.connection} set status = 'error'`.execute(db)
  const work = await look()
  t.match(stateOf(work), { runs: 'fault', sinks: 'fault', connections: 'fault', schedules: 'ok', deliveries: 'ok' })
  t.match(work.checks.find(({ name }) => name === 'runs')?.found, [{ connectionId, tenantId: 't1', status: 'running' }])
  t.match(toldDiagnosis(work), /✗ sinks {7}.*\n {4}name slow, /)
})

t.test('tables that are gone are named, and nothing is asked of them', async t => {
  const { look, db, tables } = await patient(t)
  await sql`drop table ${tables.activity}`.execute(db)
  const gone = await look()
  t.match(gone.checks[0], { name: 'tables', state: 'fault', found: [{ table: 'rmm_activity' }] })
  t.equal(gone.checks.length, 2)
  await sql`delete from ${tables.migration} where name like '0007%'`.execute(db)
  t.match((await look()).checks[0], {
    state: 'fault',
    message: /npx rmm-sync migrate/,
    found: [{ migration: '0007_actors' }]
  })
})

t.test('schemas that the next schema diff would drop are named', async t => {
  const { look, host } = await patient(t)
  const bare = new MikroORM({ ...host.orm.config.getAll(), schemaGenerator: {} } as never)
  const transports = [{ kind: 'queue', schemas: ['jobs'] }] as never
  t.match((await look({ orm: bare, transports })).checks[1], {
    name: 'schemas',
    state: 'fault',
    found: [{ problem: new RegExp(host.schema) }, { problem: /'jobs'/ }]
  })
})

interface Exit {
  code: number | null
  out: string
  err: string
}

async function cli(...args: string[]): Promise<Exit> {
  const child = spawn(process.execPath, [fileURLToPath(new URL('../../src/cli.ts', import.meta.url)), ...args])
  const exit: Exit = { code: null, out: '', err: '' }
  child.stdout.on('data', chunk => (exit.out += chunk))
  child.stderr.on('data', chunk => (exit.err += chunk))
  return await new Promise((resolve, reject) =>
    child.on('error', reject).on('close', code => resolve({ ...exit, code }))
  )
}

/** One of its own: suites that run side by side would share `t.testdir`, and the first to end takes it away. */
function folder(t: Test): string {
  const path = mkdtempSync(join(tmpdir(), 'rmm-doctor-'))
  t.teardown(() => rmSync(path, { recursive: true, force: true }))
  return path
}

/** A module as a host would write it. */
function moduleOf(t: Test, keys: string[], more = ''): string {
  const file = join(folder(t), `options-${keys.join('-')}.mjs`)
  const box = Object.fromEntries(keys.map(name => [name, Buffer.alloc(32, name === 'test' ? 7 : 2).toString('base64')]))
  const from = new URL('../../src/services/platform/secrets.ts', import.meta.url).href
  writeFileSync(
    file,
    `import { aesGcmSecretBox } from ${JSON.stringify(from)}
setInterval(() => {}, 1_000) // as an open client would keep the process
export default async () => ({ secrets: aesGcmSecretBox({ keys: ${JSON.stringify(box)}, current: '${keys.at(-1)}' })${more} })`
  )
  return file
}

const onServer = { skip: databaseKind === 'pglite' && 'needs a PostgreSQL server: set TEST_DATABASE_URL' }

t.test('a key is taken out of use from the command line, beside a process that runs', onServer, async t => {
  const { host, connectionId } = await patient(t)
  const at = ['--url', databaseUrl!, '--schema', host.schema]
  const lacking = await cli('doctor', '--options', moduleOf(t, ['k2']), '--json', ...at)
  t.equal(lacking.code, 1, lacking.err)
  t.match(
    JSON.parse(lacking.out).checks.find(({ name }: { name: string }) => name === 'keys'),
    {
      state: 'fault',
      found: [{ keyId: 'test', values: 2, opens: false }]
    }
  )

  const both = moduleOf(t, ['test', 'k2'], `, schema: '${host.schema}'`)
  t.match(await cli('reseal', '--options', both, '--plan', ...at.slice(0, 2)), {
    code: 0,
    out: 'test: 2 values, 2 to seal anew, 0 unreadable\n2 would be sealed with k2\n'
  })
  t.match(await cli('reseal', '--options', both, ...at), {
    code: 0,
    out: 'test: 2 values, 2 sealed anew, 0 unreadable\n2 were sealed with k2\n'
  })
  t.match(JSON.parse((await cli('reseal', '--options', both, '--json', ...at)).out), { current: 'k2', resealed: 0 })
  t.match(await cli('doctor', '--options', moduleOf(t, ['k2']), ...at), { code: 0, out: /✓ keys .*k2 \(2\)/ })
  t.match(await cli('reseal', '--options', moduleOf(t, ['test']), ...at), { code: 1, out: /2 do not open/ })
  t.match(await host.call('t1', 'POST', `/connections/${connectionId}/test`), {
    status: 409,
    body: { code: 'RMM_ERR_SECRETS_UNREADABLE' }
  })
  t.match(await host.call('t1', 'GET', '/health'), {
    body: { ok: false, keys: { missing: [{ keyId: 'k2', values: 2 }] } }
  })
  t.match((await host.call('t2', 'GET', '/health')).body.keys, { missing: [] }, "nothing of another tenant's")
  t.match(await host.app.rmm.health(), { ok: false, keys: { missing: [{ keyId: 'k2', values: 2 }] } })
})

t.test('a command line that cannot be meant is refused, with what to do', async t => {
  t.match(await cli('reseal'), { code: 2, err: /--options <file>/ })
  t.match(await cli('doctor', '--plan'), { code: 2, err: /'doctor' knows no --plan/ })
  t.match(await cli('doctor'), { code: 2, err: /which database/ })
  t.match(await cli('doctor', '--options', './not-there.mjs'), { code: 1, err: /not-there\.mjs/ })
  const file = join(folder(t), 'empty.mjs')
  writeFileSync(file, 'export const a = 1')
  t.match(await cli('doctor', '--options', file), { code: 1, err: /default export of .* is missing: export/ })
  t.match(await cli('reseal', '--options', file), { code: 1, err: /default export/ })
})
