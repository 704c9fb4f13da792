import { randomBytes } from 'node:crypto'
import Fastify from 'fastify'
import { aesGcmSecretBox, type RmmProvider, rmmSync } from '../src/index.ts'
import { meshcentral } from '../src/providers/meshcentral/index.ts'
import { startFakeMeshCentral } from '../src/testing/fake-mesh/index.ts'
import { type Kind, openBenchDatabase } from './database.ts'
import { type Row, row } from './report.ts'
import { countStatements } from './statements.ts'

/**
 * Every client has its group already: what does it cost to find that out again? Counted at the platform and at the
 * database.
 */
export async function deviceGroupsBench(kind: Kind, { quick }: { quick: boolean }): Promise<Row[]> {
  const clients = Array.from({ length: 1_000 }, (_, n) => ({ id: `client-${n}`, name: `Client ${n}` }))
  const database = await openBenchDatabase(kind)
  const fake = await startFakeMeshCentral({ groups: 0, devices: 0 })
  const app = Fastify()
  await app.register(rmmSync, {
    orm: database.orm,
    schema: database.schema,
    migrations: 'run',
    providers: [meshcentral({ allowPrivateNetwork: true }) as RmmProvider],
    tenant: () => 'bench',
    authorize: () => {},
    secrets: aesGcmSecretBox({ keys: { bench: randomBytes(32).toString('base64') }, current: 'bench' }),
    directory: {
      clients: () => clients,
      client: (_tenant: string, id: string) => clients.find(client => client.id === id) ?? null
    },
    worker: { enabled: false },
    engine: { interactiveMs: 120_000 }
  })
  await app.ready()
  const { connection } = await app.rmm.connections.create('bench', {
    provider: 'meshcentral',
    config: { url: fake.url },
    secrets: { username: fake.username, password: fake.password }
  })
  const first = await app.rmm.deviceGroups.syncAll('bench', connection.id)
  if (first.created !== clients.length) throw new Error(`the groups could not be made: ${first.message}`)
  const statements = await countStatements(database)
  const counts = { logins: [] as number[], lists: [] as number[], writes: [] as number[], statements: [] as number[] }
  let ms = 0
  for (let n = 0; n < (quick ? 2 : 5); n++) {
    fake.resetCounts()
    const before = statements.read()
    const began = performance.now()
    const again = await app.rmm.deviceGroups.syncAll('bench', connection.id)
    ms = performance.now() - began
    if (again.existing !== clients.length) throw new Error(`the second run found ${again.message}`)
    counts.statements.push(statements.read() - before)
    counts.logins.push(fake.counts.logins)
    counts.lists.push(fake.counts.lists)
    counts.writes.push(fake.counts.writes)
  }
  statements.stop()
  await app.close()
  await fake.close()
  await database.close()
  const note = `${clients.length} clients, ${ms.toFixed(0)} ms`
  return [
    row('log-ins of sync-all on a provisioned server', kind, counts.logins, { most: 1 }, note),
    row('lists', kind, counts.lists, { most: 1 }, note),
    row('writes on the platform', kind, counts.writes, { most: 0 }, note),
    row('SQL statements', kind, counts.statements, { most: 5 }, note)
  ]
}
