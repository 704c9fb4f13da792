#!/usr/bin/env node
import { parseArgs } from 'node:util'
import type { MikroORM } from '@mikro-orm/core'
import { migrate, migrationPlan, pendingMigrations } from './migrate.ts'
import { migrations } from './migrations/index.ts'
import { requireSchemaName } from './option-checks.ts'

const help = `Usage: rmm-sync migrate [--plan] [--schema <name>] [--url <address>]

Brings the schema of fastify-rmm-sync up to date, in one transaction. Safe to run from several machines at once.

  --plan            print the SQL instead of applying it: what the database lacks, or everything without an address
  --schema <name>   the plugin's option 'schema' (default: rmm)
  --url <address>   postgresql://user:password@host:5432/database (default: the variable DATABASE_URL)
  --help            this text

Exit codes: 0 done, 1 failed, 2 not understood.
`

/** A mistake on the command line: exit code 2. */
class UsageError extends Error {}

interface Command {
  plan: boolean
  schema: string
  url: string | undefined
}

function readCommand(args: string[]): Command | null {
  const { values, positionals } = parse(args)
  if (values.help || args.length === 0) return null
  if (positionals.length !== 1 || positionals[0] !== 'migrate')
    throw new UsageError(`unknown command '${positionals.join(' ')}'`)
  try {
    requireSchemaName(values.schema)
  } catch (error) {
    throw new UsageError((error as Error).message)
  }
  return { plan: values.plan, schema: values.schema, url: values.url ?? process.env['DATABASE_URL'] }
}

function parse(args: string[]) {
  try {
    return parseArgs({
      args,
      allowPositionals: true,
      options: {
        plan: { type: 'boolean', default: false },
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

async function run({ plan, schema, url }: Command): Promise<string> {
  if (url === undefined) {
    if (plan) return script(migrationPlan(schema))
    throw new UsageError('which database? Give --url postgresql://… or set DATABASE_URL')
  }
  const orm = await connect(url)
  try {
    if (!plan) return told(schema, await migrate(orm, { schema }))
    const pending = await pendingMigrations(orm, { schema })
    const applied = migrations.map(({ name }) => name).filter(name => !pending.includes(name))
    return pending.length === 0 ? `-- the schema '${schema}' is up to date\n` : script(migrationPlan(schema, applied))
  } finally {
    await orm.close()
  }
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
