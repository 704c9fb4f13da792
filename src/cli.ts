#!/usr/bin/env node
import { parseArgs } from 'node:util'
import type { MikroORM } from '@mikro-orm/core'
import { migrate, migrationPlan, pendingMigrations } from './migrate.ts'
import { migrations } from './migrations/index.ts'
import { requireSchemaName } from './option-checks.ts'
import { dropSink } from './services/outbound/index.ts'
import { openDatabase, outboxLag } from './services/store/index.ts'

const help = `Usage: rmm-sync migrate [--plan] [--schema <name>] [--url <address>]
       rmm-sync sinks [--drop <sink>] [--schema <name>] [--url <address>]

migrate: brings the schema of fastify-rmm-sync up to date, in one transaction. Safe to run from several machines at once.
sinks: tells what waits for each sink of events, also for those that were taken out of the option 'events'.

  --plan            print the SQL instead of applying it: what the database lacks, or everything without an address
  --drop <sink>     forget what waits for a sink that is not coming back; refused while a process serves it
  --schema <name>   the plugin's option 'schema' (default: rmm)
  --url <address>   postgresql://user:password@host:5432/database (default: the variable DATABASE_URL)
  --help            this text

Exit codes: 0 done, 1 failed, 2 not understood.
`

/** A mistake on the command line: exit code 2. */
class UsageError extends Error {}

interface Command {
  name: 'migrate' | 'sinks'
  plan: boolean
  drop: string | undefined
  schema: string
  url: string | undefined
}

function readCommand(args: string[]): Command | null {
  const { values, positionals } = parse(args)
  if (values.help || args.length === 0) return null
  const [name] = positionals
  if (positionals.length !== 1 || (name !== 'migrate' && name !== 'sinks'))
    throw new UsageError(`unknown command '${positionals.join(' ')}'`)
  if (name === 'sinks' && values.plan) throw new UsageError("'sinks' knows no --plan")
  if (name === 'migrate' && values.drop !== undefined) throw new UsageError("'migrate' knows no --drop")
  try {
    requireSchemaName(values.schema)
  } catch (error) {
    throw new UsageError((error as Error).message)
  }
  const { plan, drop, schema, url = process.env['DATABASE_URL'] } = values
  return { name, plan, drop, schema, url }
}

function parse(args: string[]) {
  try {
    return parseArgs({
      args,
      allowPositionals: true,
      options: {
        plan: { type: 'boolean', default: false },
        drop: { type: 'string' },
        schema: { type: 'string', default: 'rmm' },
        url: { type: 'string' },
        help: { type: 'boolean', short: 'h', default: false }
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

async function run({ name, plan, drop, schema, url }: Command): Promise<string> {
  if (url === undefined) {
    if (plan) return script(migrationPlan(schema))
    throw new UsageError('which database? Give --url postgresql://… or set DATABASE_URL')
  }
  const orm = await connect(url)
  try {
    if (name === 'sinks') return await sinks(orm, schema, drop)
    if (!plan) return told(schema, await migrate(orm, { schema }))
    const pending = await pendingMigrations(orm, { schema })
    const applied = migrations.map(({ name }) => name).filter(name => !pending.includes(name))
    return pending.length === 0 ? `-- the schema '${schema}' is up to date\n` : script(migrationPlan(schema, applied))
  } finally {
    await orm.close()
  }
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
  process.stdout.write(command === null ? help : await run(command))
} catch (error) {
  const usage = error instanceof UsageError
  process.stderr.write(`rmm-sync: ${explain(error)}\n${usage ? 'Try: rmm-sync --help\n' : ''}`)
  process.exitCode = usage ? 2 : 1
}

/** A refused connection is an AggregateError without a message: its parts have one. */
function explain(error: unknown): string {
  if (error instanceof AggregateError && error.message === '')
    return error.errors.map(part => (part as Error).message).join('; ')
  return (error as Error).message
}
