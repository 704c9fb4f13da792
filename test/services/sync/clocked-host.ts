/**
 * A host in a process of its own whose clock is `AHEAD` milliseconds off: `DATABASE` is a PostgreSQL address, `SCHEMA`
 * ours. Does what it is sent, `sync` or the id of a device to be read, and sends back what came of it.
 */
import { PostgreSqlDriver } from '@mikro-orm/postgresql'
import { MikroORM } from '@mikro-orm/core'
import Fastify from 'fastify'
import { rmmSync, withRmmSync } from '../../../src/index.ts'
import type { RmmProvider } from '../../../src/providers/define.ts'
import { level } from '../../../src/providers/level/index.ts'
import { secrets } from '../../transports/setup.ts'
import { settableClock } from '../../process-clock.ts'

const { DATABASE = '', SCHEMA = '', CONNECTION = '', AHEAD = '0' } = process.env
settableClock(Number(AHEAD))
const orm = await MikroORM.init({
  ...withRmmSync({ entities: [], discovery: { warnWhenNoEntities: false } }, { schema: SCHEMA }),
  driver: PostgreSqlDriver,
  clientUrl: DATABASE,
  pool: { min: 0, max: 3 }
} as never)
const app = Fastify()
await app.register(rmmSync, {
  orm,
  schema: SCHEMA,
  prefix: false,
  secrets,
  tenant: () => 't1',
  authorize: () => {},
  providers: [level({ allowPrivateNetwork: true }) as RmmProvider],
  engine: { tickMs: 100, leaseMs: 2_000, retryDelayMs: 20 }
})
await app.ready()
process.on('message', async (what: string) => {
  const { sync } = app.rmm
  if (what !== 'sync') return process.send!((await sync.device('t1', CONNECTION, what)).outcome)
  const { run } = await sync.start('t1', CONNECTION)
  const { status, totals, summary } = await sync.settled('t1', run.id)
  process.send!({ status, totals, summary })
})
process.send!('ready')
