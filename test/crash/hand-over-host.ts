/**
 * A host in a process of its own, to be killed while it hands devices over: `DATABASE` is a PostgreSQL address, `SCHEMA`
 * ours, `LOG` the host's table of what it was told, written in our transaction. Says on stdout what happens.
 */
import { PostgreSqlDriver } from '@mikro-orm/postgresql'
import { MikroORM } from '@mikro-orm/core'
import Fastify from 'fastify'
import { aesGcmSecretBox, rmmSync, withRmmSync } from '../../src/index.ts'
import type { RmmProvider } from '../../src/providers/define.ts'
import { level } from '../../src/providers/level/index.ts'
import { pause } from '../until.ts'

const { DATABASE = '', SCHEMA = '', LOG = '' } = process.env
const say = (word: string): void => {
  process.stdout.write(`${word}\n`)
}
const orm = await MikroORM.init({
  ...withRmmSync({ entities: [], discovery: { warnWhenNoEntities: false } }, { schema: SCHEMA }),
  driver: PostgreSqlDriver,
  clientUrl: DATABASE,
  pool: { min: 0, max: 4 }
} as never)
const app = Fastify({ logger: { level: 'warn', stream: process.stderr } })
await app.register(rmmSync, {
  orm,
  schema: SCHEMA,
  prefix: false,
  secrets: aesGcmSecretBox({ keys: { test: Buffer.alloc(32, 7).toString('base64') }, current: 'test' }),
  tenant: () => 't1',
  authorize: () => {},
  providers: [level({ allowPrivateNetwork: true }) as RmmProvider],
  engine: { tickMs: 100, leaseMs: 500, retryDelayMs: 20, batchRecords: 3 },
  async onChanges({ devices }, em) {
    for (const { change, device } of devices)
      await em
        .getConnection()
        .execute(`insert into ${LOG} values ('${change}', '${device.id}')`, [], 'run', em.getTransactionContext())
    say('told')
    // Long enough to die in.
    await pause(60)
  }
})
await app.ready()
const { rmm } = app
const {
  items: [connection]
} = await rmm.connections.list('t1')
const {
  items: [known]
} = await rmm.sync.allRuns('t1', { kind: 'handover' })
const id = known?.id ?? (await rmm.sync.handOver('t1', connection!.id)).run.id
const ended = await rmm.sync.settled('t1', id)
say(`ended ${ended.status} ${ended.totals.handedOver}`)
