#!/usr/bin/env node
import { parseArgs } from 'node:util'
import type { MikroORM } from '@mikro-orm/core'
import { diagnose, toldDiagnosis } from './commands/doctor.ts'
import { type Given, givenOptions } from './commands/given.ts'
import { resealAll, toldResealed } from './commands/reseal.ts'
import { migrate, migrationPlan, pendingMigrations } from './migrate.ts'
import { migrations } from './migrations/index.ts'
import { requireSchemaName } from './option-checks.ts'
import { dropSink } from './services/outbound/index.ts'
import { openDatabase, outboxLag } from './services/store/index.ts'

const help = `Usage: rmm-sync migrate [--plan] [--schema <name>] [--url <address>]
       rmm-sync sinks [--drop <sink>] [--schema <name>] [--url <address>]
       rmm-sync doctor [--options <file>] [--json] [--schema <name>] [--url <address>]
       rmm-sync reseal --options <file> [--plan] [--json] [--schema <name>] [--url <address>]

migrate: brings the schema of fastify-rmm-sync up to date, in one transaction. Safe to run from several machines at once.
sinks: tells what waits for each sink of events, also for those that were taken out of the option 'events'.
doctor: names what is wrong with what is stored: missing tables, schemas without protection, addresses that break the
  rules, keys that the secret box lacks, stuck runs, sinks that are behind. Asks no platform, changes nothing.
reseal: seals everything with the current key of the secret box, so that older keys can be taken out of it. Safe beside
  running processes, and safe to repeat.

  --plan            migrate: print the SQL instead of applying it: what the database lacks, or everything without an address
                    reseal: only count
  --drop <sink>     forget what waits for a sink that is not coming back; refused while a process serves it
  --options <file>  a module whose default export is what the host gives the plugin, or a function that gives it:
                    secrets, and as far as there are some providers, orm, transports, engine
  --json            tell it as JSON
  --schema <name>   the plugin's option 'schema' (default: rmm)
  --url <address>   postgresql://user:password@host:5432/database (default: the variable DATABASE_URL)
  --help            this text

Exit codes: 0 done and well, 1 failed or something is wrong, 2 not understood.
`

/** A mistake on the command line: exit code 2. */
class UsageError extends Error {}

/** The commands, and what each knows beside --schema and --url. */
const commands = {
  migrate: ['plan'],
  sinks: ['drop'],
  doctor: ['options', 'json'],
  reseal: ['options', 'plan', 'json']
} as const

interface Command {
  name: keyof typeof commands
  plan: boolean
  drop: string | undefined
  options: string | undefined
  json: boolean
  schema: string | undefined
  url: string | undefined
}

function readCommand(args: string[]): Command | null {
  const { values, positionals } = parse(args)
  if (values.help || args.length === 0) return null
  const [name] = positionals
  if (positionals.length !== 1 || !isCommand(name)) throw new UsageError(`unknown command '${positionals.join(' ')}'`)
  const known: readonly string[] = [...commands[name], 'schema', 'url', 'help']
  const foreign = Object.keys(values).find(option => !known.includes(option))
  if (foreign !== undefined) throw new UsageError(`'${name}' knows no --${foreign}`)
  if (name === 'reseal' && values.options === undefined)
    throw new UsageError('which keys? Give --options <file>, a module that exports the secret box as { secrets }')
  const { plan = false, json = false, drop, options, schema, url = process.env['DATABASE_URL'] } = values
  return { name, plan, drop, options, json, schema: schema && checkedSchema(schema), url }
}

const isCommand = (name: string | undefined): name is Command['name'] =>
  name !== undefined && Object.hasOwn(commands, name)

function checkedSchema(schema: string): string {
  try {
    requireSchemaName(schema)
    return schema
  } catch (error) {
    throw new UsageError((error as Error).message)
  }
}

function parse(args: string[]) {
  try {
    return parseArgs({
      args,
      allowPositionals: true,
      options: {
        plan: { type: 'boolean' },
        drop: { type: 'string' },
        options: { type: 'string' },
        json: { type: 'boolean' },
        schema: { type: 'string' },
        url: { type: 'string' },
        help: { type: 'boolean', short: 'h' }
      }
    })
  } catch (error) {
    throw new UsageError((error as Error).message)
  }
}

async function connect(url: string): Promise<MikroORM> {
  if (!/^postgres(ql)?:\/\//.test(url)) throw new UsageError('the address must start with postgresql://')
  const driver = await import('@mikro-orm/postgresql').catch(() => {
    throw new Error(
      '@mikro-orm/postgresql is not installed here: npm install @mikro-orm/postgresql, in the version of @mikro-orm/core'
    )
  })
  return await driver.MikroORM.init({
    clientUrl: url,
    entities: [],
    discovery: { warnWhenNoEntities: false },
    pool: { min: 0, max: 1 }
  })
}

async function run(command: Command): Promise<string> {
  const { name, plan, drop, url } = command
  const given = await givenOptions(command.options)
  const schema = command.schema ?? given.schema ?? 'rmm'
  if (url === undefined && given.orm === undefined) {
    if (name === 'migrate' && plan) return script(migrationPlan(schema))
    throw new UsageError('which database? Give --url postgresql://… or set DATABASE_URL')
  }
  const orm = given.orm ?? (await connect(url!))
  try {
    if (name === 'doctor') return await doctor(orm, schema, given, command.json)
    if (name === 'reseal') return await resealed(orm, schema, given, command)
    if (name === 'sinks') return await sinks(orm, schema, drop)
    if (!plan) return told(schema, await migrate(orm, { schema }))
    const pending = await pendingMigrations(orm, { schema })
    const applied = migrations.map(({ name }) => name).filter(name => !pending.includes(name))
    return pending.length === 0 ? `-- the schema '${schema}' is up to date\n` : script(migrationPlan(schema, applied))
  } finally {
    await orm.close()
  }
}

async function doctor(orm: MikroORM, schema: string, given: Given, json: boolean): Promise<string> {
  const diagnosis = await diagnose(await openDatabase(orm, schema), given, new AbortController().signal)
  if (!diagnosis.ok) process.exitCode = 1
  return json ? `${JSON.stringify(diagnosis, null, 2)}\n` : toldDiagnosis(diagnosis)
}

async function resealed(orm: MikroORM, schema: string, { secrets }: Given, { options, plan, json }: Command) {
  if (typeof secrets?.seal !== 'function' || typeof secrets.open !== 'function')
    throw new Error(`${options} exports no secret box: export default { secrets: aesGcmSecretBox({ keys, current }) }`)
  const stop = new AbortController()
  process.once('SIGINT', () => stop.abort(new Error('stopped; what was sealed anew stays so, call it again')))
  const done = await resealAll(await openDatabase(orm, schema), secrets, plan, stop.signal)
  if (done.unreadable > 0) process.exitCode = 1
  return json ? `${JSON.stringify(done, null, 2)}\n` : toldResealed(done)
}

async function sinks(orm: MikroORM, schema: string, drop: string | undefined): Promise<string> {
  const database = await openDatabase(orm, schema)
  if (drop !== undefined) return `${await dropSink(database, drop)} events that waited for '${drop}' were dropped\n`
  const lines = (await outboxLag(database)).map(({ sink, pending, oldestAgeMs, failures, lastError, served }) => [
    sink,
    String(pending),
    oldestAgeMs === null ? '-' : `${Math.round(oldestAgeMs / 60_000)} min`,
    String(failures),
    served ? 'yes' : 'no',
    lastError ?? '-'
  ])
  const table = [['sink', 'pending', 'oldest', 'failures', 'served', 'last error'], ...lines]
  const widths = table[0]!.map((_, n) => Math.max(...table.map(line => line[n]!.length)))
  return table
    .map(
      line =>
        `${line
          .map((cell, n) => cell.padEnd(widths[n]!))
          .join('  ')
          .trimEnd()}\n`
    )
    .join('')
}

function script(statements: string[]): string {
  return ['begin', ...statements, 'commit'].map(statement => `${statement};\n`).join('')
}

function told(schema: string, applied: string[]): string {
  return applied.length === 0
    ? `the schema '${schema}' is up to date\n`
    : `applied to the schema '${schema}': ${applied.join(', ')}\n`
}

try {
  const command = readCommand(process.argv.slice(2))
  process.stdout.write(command === null ? help : await run(command), () => {
    // What a host's module opened beside its database is not ours to close.
    if (command?.options !== undefined) process.exit()
  })
} catch (error) {
  const usage = error instanceof UsageError
  process.stderr.write(`rmm-sync: ${explain(error)}\n${usage ? 'Try: rmm-sync --help\n' : ''}`)
  process.exitCode = usage ? 2 : 1
}

/** A refused connection is an AggregateError without a message: its parts have one. */
function explain(error: unknown): string {
  // Here the operator sits, whose database it is: what it said itself tells most.
  const { code, cause } = error as { code?: string; cause?: unknown }
  if (code?.startsWith('RMM_ERR_DATABASE_') === true && cause instanceof Error)
    return `${(error as Error).message} (${explain(cause)})`
  if (error instanceof AggregateError && error.message === '')
    return error.errors.map(part => (part as Error).message).join('; ')
  return (error as Error).message
}
