/**
 * A host in a process of its own that gives every client in the JSON file `CLIENTS` its group over the connection
 * `CONNECTION` of tenant `t1`, in the schema `SCHEMA` of the PostgreSQL at `DATABASE`. Prints the result.
 */
import { readFileSync } from 'node:fs'
import { MikroORM } from '@mikro-orm/core'
import { PostgreSqlDriver } from '@mikro-orm/postgresql'
import Fastify from 'fastify'
import { aesGcmSecretBox, rmmSync, withRmmSync } from '../../src/index.ts'
import type { RmmProvider } from '../../src/providers/define.ts'
import { meshcentral } from '../../src/providers/meshcentral/index.ts'
import type { Client } from '../../src/types.ts'

const { DATABASE = '', SCHEMA = '', CONNECTION = '', CLIENTS = '' } = process.env
const clients = JSON.parse(readFileSync(CLIENTS, 'utf8')) as Client[]
const config = withRmmSync({ entities: [], discovery: { warnWhenNoEntities: false } }, { schema: SCHEMA })
const orm = await MikroORM.init({
  ...config,
  driver: PostgreSqlDriver,
  clientUrl: DATABASE,
  pool: { min: 0, max: 4 }
} as never)
const app = Fastify()
await app.register(rmmSync, {
  orm,
  schema: SCHEMA,
  migrations: 'check',
  prefix: false,
  tenant: () => 't1',
  authorize: () => {},
  secrets: aesGcmSecretBox({ keys: { test: Buffer.alloc(32, 7).toString('base64') }, current: 'test' }),
  providers: [meshcentral({ allowPrivateNetwork: true }) as RmmProvider],
  worker: { enabled: false },
  engine: { interactiveMs: 60_000 },
  directory: {
    clients: () => clients,
    client: (_tenant: string, id: string) => clients.find(client => client.id === id) ?? null
  }
})
await app.ready()
const result = await app.rmm.deviceGroups.syncAll('t1', CONNECTION)
await app.close()
await orm.close()
process.stdout.write(JSON.stringify(result))
