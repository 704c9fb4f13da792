import { MikroORM } from '@mikro-orm/postgresql'
import { aesGcmSecretBox, type RmmSyncOptions, type SyncTransport, withRmmSync } from '../../src/index.ts'
import { level } from '../../src/providers/level/index.ts'
import { postgresTransport } from '../../src/transports/postgres/index.ts'
import { temporalTransport } from '../../src/transports/temporal/index.ts'

/** What the web process and the worker processes have in common: the same database, keys, providers and transport. */
export interface Setup {
  orm: MikroORM
  options: Pick<RmmSyncOptions, 'orm' | 'providers' | 'secrets' | 'transports' | 'schedule'>
}

function required(name: string): string {
  const value = process.env[name]
  if (value === undefined || value === '') throw new Error(`set ${name} (see examples/worker-process/README.md)`)
  return value
}

/** `executes`: whether this process takes runs, or only starts them. */
export async function setUp({ executes }: { executes: boolean }): Promise<Setup> {
  const orm = await MikroORM.init(
    withRmmSync({ clientUrl: required('DATABASE_URL'), entities: [], discovery: { warnWhenNoEntities: false } })
  )
  return {
    orm,
    options: {
      orm,
      // A platform on a private network, such as the fake one of the tests, has to be allowed by the host.
      providers: [level({ allowPrivateNetwork: process.env['ALLOW_PRIVATE_NETWORK'] === '1' })],
      secrets: aesGcmSecretBox({ keys: { k1: required('RMM_KEY') }, current: 'k1' }),
      transports: [transport(process.env['TRANSPORT'] ?? 'postgres', orm, executes)]
    }
  }
}

function transport(name: string, orm: MikroORM, executes: boolean): SyncTransport {
  if (name === 'postgres') return postgresTransport({ orm })
  // With `worker: false` nothing of @temporalio/worker is loaded: the web process stays small.
  if (name === 'temporal')
    return temporalTransport({ address: process.env['TEMPORAL_ADDRESS'] ?? '127.0.0.1:7233', worker: executes })
  throw new Error(`TRANSPORT is '${name}': it must be postgres or temporal`)
}

/** Closes in order on SIGTERM and SIGINT. Signals are the host's business: the plugin installs no handlers. */
export function closeOnSignal(close: () => Promise<void>): void {
  for (const signal of ['SIGTERM', 'SIGINT'] as const)
    process.once(signal, () => {
      close().then(
        () => process.exit(0),
        error => {
          console.error(error)
          process.exit(1)
        }
      )
    })
}
