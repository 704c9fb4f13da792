import type { MikroORM } from '@mikro-orm/core'
import { requireIgnoredSchema, requireIgnoredTransports, pendingMigrations } from '../migrations/run.ts'
import { level } from '../providers/level/index.ts'
import { meshcentral } from '../providers/meshcentral/index.ts'
import type { RmmProvider } from '../providers/define.ts'
import { defaultSettings } from '../services/core.ts'
import { allowancesOf } from '../services/health.ts'
import { addressFaults, createRegistry, secretsUsage } from '../services/platform/index.ts'
import { type Database, missingTables, readHealth, stuckRuns } from '../services/store/index.ts'
import type { Given } from './given.ts'

/** One thing that was looked at. */
export interface Check {
  name: 'tables' | 'schemas' | 'addresses' | 'keys' | 'runs' | 'sinks' | 'schedules' | 'deliveries' | 'connections'
  /** `skipped`: it could not be looked at; `message` says what is needed. */
  state: 'ok' | 'fault' | 'skipped'
  message: string
  /** What the fault is found in. */
  found?: object[]
}

export interface Diagnosis {
  /** No check found a fault. */
  ok: boolean
  checks: Check[]
}

const namedAtMost = 100
const howToGive = 'give the options of the host with --options <file>'

type Outcome = Omit<Check, 'name'>

function judged(found: object[], fault: string, well: string): Outcome {
  return found.length === 0 ? { state: 'ok', message: well } : { state: 'fault', message: fault, found }
}

/** Looks at everything that keeps a host from booting, or its syncs from working; asks no platform, changes nothing. */
export async function diagnose(database: Database, given: Given, signal: AbortSignal): Promise<Diagnosis> {
  const checks: Check[] = []
  const look = async (name: Check['name'], check: () => Outcome | Promise<Outcome>): Promise<Outcome> => {
    const outcome = await check()
    checks.push({ name, ...outcome })
    return outcome
  }
  const tables = await look('tables', () => lookAtTables(database))
  await look('schemas', () => lookAtSchemas(given, database.schema))
  if (tables.state === 'ok') {
    await look('addresses', () => lookAtAddresses(database, given))
    await look('keys', () => lookAtKeys(database, given, signal))
    for (const [name, outcome] of await lookAtWork(database, given)) await look(name, () => outcome)
  }
  return { ok: checks.every(({ state }) => state !== 'fault'), checks }
}

async function lookAtTables(database: Database): Promise<Outcome> {
  const { schema } = database
  const pending = (await pendingMigrations(database)).map(migration => ({ migration }))
  if (pending.length > 0)
    return judged(pending, `the schema '${schema}' lacks ${pending.length} migrations: npx rmm-sync migrate`, '')
  const missing = (await missingTables(database)).map(table => ({ table }))
  return judged(
    missing,
    `tables of the schema '${schema}' are gone although their migrations were applied: a schema diff may have dropped them. Restore them from a backup`,
    `the schema '${schema}' is up to date`
  )
}

function lookAtSchemas({ orm, transports = [] }: Given, schema: string): Outcome {
  if (orm === undefined)
    return { state: 'skipped', message: `whether the host's schema diff would drop our tables: ${howToGive} (orm)` }
  const found: object[] = []
  for (const check of [
    () => requireIgnoredSchema(orm as MikroORM, schema),
    () => requireIgnoredTransports(orm as MikroORM, transports)
  ])
    try {
      check()
    } catch (error) {
      found.push({ problem: (error as Error).message })
    }
  return judged(
    found,
    'schemas are not protected from the schema diff of the host',
    'the schema diff of the host leaves our tables alone'
  )
}

/** Those that come with the plugin, for hosts that were not asked: nothing is known of what they allow. */
const shipped = () =>
  [level({ allowPrivateNetwork: true }), meshcentral({ allowPrivateNetwork: true })] as RmmProvider[]

async function lookAtAddresses(database: Database, { providers }: Given): Promise<Outcome> {
  const registry = createRegistry((providers as RmmProvider[] | undefined) ?? shipped(), () => true)
  return judged(
    (await addressFaults({ database, registry })).slice(0, namedAtMost),
    'addresses of stored connections carry secrets or are not encrypted: have them entered again (PATCH …/connections/:id); what is secret in them is a field of the secrets',
    'no stored address carries a secret or leads over a public network in the clear'
  )
}

async function lookAtKeys(database: Database, { secrets }: Given, signal: AbortSignal): Promise<Outcome> {
  if (secrets === undefined)
    return { state: 'skipped', message: `whether the secret box has the keys in use: ${howToGive} (secrets)` }
  const { current, keys } = await secretsUsage({ database, secrets, signal, log: { debug() {} } })
  const missing = keys.filter(({ opens }) => !opens)
  const inUse = keys.map(({ keyId, values }) => `${keyId ?? 'not told'} (${values})`).join(', ') || 'none'
  return judged(
    missing,
    'the secret box lacks keys that stored secrets were sealed with: give them back to it, or have the secrets entered again',
    `keys in use: ${inUse}; sealing with ${current ?? 'one that is not told'}`
  )
}

async function lookAtWork(database: Database, { engine }: Given): Promise<Array<[Check['name'], Outcome]>> {
  const allowances = allowancesOf({ ...defaultSettings, ...engine })
  const { schedules, deliveries, sinks, connections } = await readHealth(database, null, allowances)
  const behind = sinks.filter(({ failures, served, pending }) => failures > 0 || (!served && pending > 0))
  const some = (count: number) => (count === 0 ? [] : [{ count }])
  return [
    [
      'runs',
      judged(
        await stuckRuns(database, allowances, namedAtMost),
        'nobody works on these runs: is there a process with worker.enabled, and the transport of the run?',
        'no run is stuck'
      )
    ],
    [
      'sinks',
      judged(
        behind,
        'sinks are behind: they fail, or no process serves them (npx rmm-sync sinks tells why, and drops what waits for one that is not coming back)',
        'every sink takes its events'
      )
    ],
    [
      'schedules',
      judged(
        schedules.late === 0 ? [] : [schedules],
        'syncs are due and nobody starts them: is there a process with worker.enabled?',
        'no sync is late'
      )
    ],
    [
      'deliveries',
      judged(
        some(deliveries.dead),
        'webhooks were given up: replay them (POST …/deliveries/:id/replay)',
        'no webhook was given up'
      )
    ],
    [
      'connections',
      judged(
        some(connections.error),
        'connections are in error: GET …/connections tells the reason of each (statusReason)',
        'no connection is in error'
      )
    ]
  ]
}

const marks = { ok: '✓', fault: '✗', skipped: '-' }

/** A diagnosis for people. */
export function toldDiagnosis({ checks }: Diagnosis): string {
  return checks
    .flatMap(({ name, state, message, found = [] }) => [
      `${marks[state]} ${name.padEnd(11)} ${state === 'skipped' ? 'not looked at: ' : ''}${message}`,
      ...found.map(
        one =>
          `    ${Object.entries(one)
            .map(([field, value]) => `${field} ${value}`)
            .join(', ')}`
      )
    ])
    .map(line => `${line}\n`)
    .join('')
}
