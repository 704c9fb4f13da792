/**
 * A host in a process of its own, to be killed: `DATABASE` is a PostgreSQL address or a PGlite directory, `SCHEMA`
 * ours. Connects to the fake Level at `LEVEL_URL` and syncs once, unless that was done before. Says on stdout, one
 * word per line, what happens.
 */
import { MikroORM } from '@mikro-orm/core'
import { PgliteDriver } from '@mikro-orm/pglite'
import { PostgreSqlDriver } from '@mikro-orm/postgresql'
import Fastify from 'fastify'
import { rmmSync, withRmmSync } from '../../src/index.ts'
import type { RmmProvider } from '../../src/providers/define.ts'
import { level } from '../../src/providers/level/index.ts'
import { memorySecretBox } from '../../src/testing/index.ts'

const { DATABASE = '', SCHEMA = '', LEVEL_URL = '' } = process.env
const say = (word: string): void => {
  process.stdout.write(`${word}\n`)
}

const config = withRmmSync({ entities: [], discovery: { warnWhenNoEntities: false } }, { schema: SCHEMA })
const orm = DATABASE.startsWith('postgres')
  ? await MikroORM.init({
      ...config,
      driver: PostgreSqlDriver,
      clientUrl: DATABASE,
      driverOptions: { application_name: SCHEMA },
      pool: { min: 0, max: 4 }
    } as never)
  : await MikroORM.init({ ...config, driver: PgliteDriver, dbName: DATABASE } as never)

const app = Fastify({ logger: { level: 'warn', stream: process.stderr } })
await app.register(rmmSync, {
  orm,
  schema: SCHEMA,
  migrations: 'run',
  prefix: false,
  secrets: memorySecretBox(),
  tenant: () => 't1',
  authorize: () => {},
  providers: [level({ allowPrivateNetwork: true }) as RmmProvider],
  // One page per transaction: the more places to die in.
  engine: { tickMs: 100, leaseMs: 500, retryDelayMs: 20, batchRecords: 1 }
})
await app.ready()
say('ready')
setInterval(() => say('alive'), 50)

const { rmm } = app
let {
  items: [connection]
} = await rmm.connections.list('t1')
connection ??= (
  await rmm.connections.create('t1', {
    provider: 'levelio',
    config: { baseUrl: LEVEL_URL },
    secrets: { apiKey: 'level-test-key-read-write' }
  })
).connection
const {
  items: [run]
} = await rmm.sync.runs('t1', connection.id)
const id = run?.id ?? (await rmm.sync.start('t1', connection.id)).run.id
say(`run ${id}`)
for (;;) {
  // The database may go away under us: then we look again.
  const ended = await rmm.sync.settled('t1', id).catch(() => null)
  if (ended !== null) {
    say(`ended ${ended.status}`)
    break
  }
}
