import Fastify, { type FastifyBaseLogger } from 'fastify'
import { sql } from 'kysely'
import t from 'tap'
import { errorForLog, messageOf, safeLog } from '../src/log.ts'
import { build } from './helper.ts'
import { openDatabase } from '../src/services/store/database.ts'

const mark = 'wAtErMaRk'

t.test('no error of the database brings a value into a log, a row or an answer', async t => {
  const host = await build(t)
  const { db } = await openDatabase(host.orm, host.schema)
  const table = sql.id(host.schema, 'probe')
  await sql`create table ${table} (id int primary key, name text not null check (name <> ${sql.lit(`${mark}!`)}), day date)`.execute(
    db
  )
  await sql`create function ${sql.id(host.schema, 'refuse')}() returns void language plpgsql as ${sql.lit(`begin raise exception 'refused: ${mark} %', '${mark}' using detail = '${mark}', hint = '${mark}'; end`)}`.execute(
    db
  )
  await sql`insert into ${table} values (1, ${mark})`.execute(db)
  const failing = {
    23505: sql`insert into ${table} values (1, ${mark})`,
    23502: sql`insert into ${table} values (2, null, now())`,
    23514: sql`insert into ${table} values (3, ${`${mark}!`})`,
    '22P02': sql`select ${mark}::text::uuid`,
    22007: sql`insert into ${table} values (4, 'x', ${mark}::text::date)`,
    22003: sql`select ${'99999999999999'}::text::int`,
    P0001: sql`select ${sql.id(host.schema, 'refuse')}()`,
    42601: sql.raw(`selec ${mark}`)
  }
  for (const [code, statement] of Object.entries(failing)) {
    const error = await statement.execute(db).then(
      () => new Error('it did not fail'),
      (error: Error) => error
    )
    t.match(error, { code }, code)
    const seen: string[] = []
    const app = Fastify({ logger: { level: 'trace', stream: { write: line => void seen.push(line) } } })
    const log = safeLog(app.log)
    log.error(error)
    log.warn({ err: error, also: error }, 'once more')
    log.child({ of: 'a child' }).error({ err: new Error('outside', { cause: error }) }, 'with a cause')
    seen.push(JSON.stringify(errorForLog(error)), messageOf(error))
    const all = seen.join('')
    t.notMatch(all, code === '22003' ? '99999999999999' : mark, `${code}: ${all}`)
    t.match(all, code, `${code} is still told`)
    t.ok(messageOf(error).length > 5, messageOf(error))
  }
})

t.test('a logger of another make gets the same', async t => {
  const lines: unknown[] = []
  const line = (...args: unknown[]) => void lines.push(args)
  const log = {
    debug: line,
    info: line,
    warn: line,
    error: line,
    fatal: line,
    trace: line,
    child: () => log,
    level: 'info'
  }
  const error = Object.assign(new Error('no'), {
    code: '23505',
    severity: 'ERROR',
    detail: mark,
    request: { headers: { authorization: mark } }
  })
  const safe = safeLog(log as unknown as FastifyBaseLogger)
  safe.error({ err: error }, 'failed')
  safe.error(error)
  t.notMatch(JSON.stringify(lines), mark)
  t.match(lines, [
    [{ err: { type: 'Error', message: 'no', code: '23505' } }, 'failed'],
    [{ err: { message: 'no' } }, 'no']
  ])
})

t.test('a message that looks like a stack does not pass for one', async t => {
  const error = new Error(`first\n    at ${mark}`)
  error.message = 'first'
  t.match(errorForLog(new Error(`x\n    at secret`)), { stack: /^Error: x\n {4}at secret\n\s+at / })
  const database = Object.assign(new Error(`invalid input: "a\n    at ${mark}"`), { code: '22P02', severity: 'ERROR' })
  t.notMatch(JSON.stringify(errorForLog(database)), mark)
})

t.test('a constraint violation in a route: neither the log nor the answer has the row', async t => {
  const seen: string[] = []
  const host = await build(t, {
    fastify: { logger: { level: 'trace', stream: { write: line => void seen.push(line) } } }
  })
  const { db, t: tables } = await openDatabase(host.orm, host.schema)
  const { rows } = await sql<{
    id: string
  }>`insert into ${tables.connection} (tenant_id, provider, name, config, hook_key, sealed_secrets, account)
    values ('t1', 'levelio', 'n', '{}', 'k', 's', 'a') returning id`.execute(db)
  await sql`alter table ${tables.connection} add constraint short check (length(name) < 5)`.execute(db)
  const reply = await host.call('t1', 'PATCH', `/connections/${rows[0]!.id}`, { name: `${mark}-name` })
  t.match(reply, { status: 500, body: { code: 'RMM_ERR_INTERNAL' } })
  const failed = seen.filter(line => line.includes('"level":50'))
  t.equal(failed.length, 1)
  t.match(JSON.parse(failed[0]!), { err: { code: '23514', constraint: 'short', table: 'rmm_connection' } })
  t.notMatch(seen.join('') + JSON.stringify(reply.body), mark)
})
