import { MikroORM } from '@mikro-orm/core'
import { PostgreSqlDriver } from '@mikro-orm/postgresql'
import Fastify from 'fastify'
import { aesGcmSecretBox, type RmmProvider, rmmSync, withRmmSync } from '../../src/index.ts'
import { level } from '../../src/providers/level/index.ts'

/**
 * A host in a process of its own, to be killed: loads, waits for its turn, listens on the port it is given and says
 * so to its parent.
 */
const { url, schema, port } = JSON.parse(process.argv[2]!) as { url: string; schema: string; port: number }
await new Promise(resolve => {
  process.once('message', resolve)
  process.send?.('loaded')
})
const orm = await MikroORM.init(
  withRmmSync(
    {
      driver: PostgreSqlDriver,
      clientUrl: url,
      entities: [],
      discovery: { warnWhenNoEntities: false },
      pool: { min: 0, max: 5 }
    } as never,
    { schema }
  )
)
const app = Fastify()
await app.register(rmmSync, {
  orm,
  schema,
  migrations: 'check',
  providers: [level({ allowPrivateNetwork: true }) as RmmProvider],
  tenant: () => 't1',
  authorize: () => {},
  secrets: aesGcmSecretBox({ keys: { test: Buffer.alloc(32, 7).toString('base64') }, current: 'test' }),
  publicUrl: `http://127.0.0.1:${port}`,
  schedule: { enabled: false },
  engine: { tickMs: 200, leaseMs: 1_000 }
} as never)
await app.listen({ host: '127.0.0.1', port })
process.send?.('listening')
