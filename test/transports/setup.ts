import { PostgreSqlDriver } from '@mikro-orm/postgresql'
import { MikroORM } from '@mikro-orm/core'
import {
  aesGcmSecretBox,
  type RmmProvider,
  type RmmSyncOptions,
  type SyncTransport,
  withRmmSync
} from '../../src/index.ts'
import { level } from '../../src/providers/level/index.ts'
import { postgresTransport } from '../../src/transports/postgres/index.ts'
import { temporalTransport } from '../../src/transports/temporal/index.ts'

export type Kind = 'direct' | 'postgres' | 'temporal'

/** What all processes of one installation have in common; travels to child processes as JSON. */
export interface Installation {
  kind: Kind
  schema: string
  databaseUrl: string
  temporalAddress: string
}

/** Dead workers are looked for as often as the engines allow, so that the suite does not take hours. */
const heartbeatSeconds = 10

export const engine: NonNullable<RmmSyncOptions['engine']> = {
  leaseMs: 3_000,
  tickMs: 200,
  onChangesMs: 2_000,
  maxAttempts: 2,
  maxDeaths: 2,
  retryDelayMs: 20,
  batchRecords: 1_000,
  interactiveMs: 20_000
}

/** The transport under test, as one process of the installation registers it. */
export function transportsOf(
  { kind, schema, databaseUrl, temporalAddress }: Installation,
  using: { orm?: MikroORM; worker?: boolean } = {}
): SyncTransport[] {
  if (kind === 'direct') return []
  if (kind === 'temporal')
    return [
      temporalTransport({
        address: temporalAddress,
        taskQueue: schema,
        heartbeatMs: heartbeatSeconds * 1_000,
        ...(using.worker === undefined ? {} : { worker: using.worker })
      })
    ]
  const place = using.orm === undefined ? { connectionString: databaseUrl } : { orm: using.orm }
  return [
    postgresTransport({
      ...place,
      schema: `${schema}_queue`,
      heartbeatSeconds,
      refreshSeconds: 2,
      monitorSeconds: 2,
      pollSeconds: 0.5
    })
  ]
}

export async function openProcessOrm(databaseUrl: string, schema: string): Promise<MikroORM> {
  const config = withRmmSync(
    { entities: [], discovery: { warnWhenNoEntities: false } },
    { schema, transportSchemas: [`${schema}_queue`] }
  )
  return await MikroORM.init({
    ...config,
    driver: PostgreSqlDriver,
    clientUrl: databaseUrl,
    pool: { min: 0, max: 6 }
  } as never)
}

export const secrets = aesGcmSecretBox({ keys: { test: Buffer.alloc(32, 7).toString('base64') }, current: 'test' })

/** A worker process of the installation: no routes, nothing but runs and background work. */
export function workerOptions(installation: Installation, orm: MikroORM): RmmSyncOptions {
  return {
    orm,
    schema: installation.schema,
    migrations: 'off',
    secrets,
    engine,
    prefix: false,
    providers: [level({ allowPrivateNetwork: true }) as RmmProvider],
    tenant: () => null,
    authorize: () => {},
    transports: transportsOf(installation, installation.kind === 'postgres' ? { orm } : {}),
    transport: installation.kind,
    worker: { concurrency: 2 },
    shutdown: { graceMs: 8_000 }
  }
}
