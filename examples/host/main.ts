import { createServer } from 'node:net'
import { join } from 'node:path'
import type { FastifyInstance } from 'fastify'
import type { RmmProvider } from '../../src/index.ts'
import { level } from '../../src/providers/level/index.ts'
import { meshcentral } from '../../src/providers/meshcentral/index.ts'
import { buildHost } from './app.ts'
import { issueTokens } from './auth.ts'
import { openDatabase, User } from './entities.ts'
import { startMesh, tellMesh } from './mesh.ts'
import { home, moveIn } from './people.ts'
import { type Kept, lockFolder, openKept, readSettings, type Settings } from './settings.ts'
import { connect, type Stage, tellLevel } from './story.ts'
import { bold, dim, say, table, yellow } from './terminal.ts'
import { startWorld } from './world.ts'

const stopping = new AbortController()
/** Undone in reverse when the process ends, however it does. */
const undo: Array<() => unknown> = []

async function start (settings: Settings): Promise<void> {
  undo.push(lockFolder(settings.dataFolder))
  const kept = openKept(settings.dataFolder)
  say(bold('Example PSA with fastify-rmm-sync') + dim(`  start ${kept.starts}, ${settings.databaseUrl === undefined ? `PGlite in ${settings.dataFolder}` : 'PostgreSQL of DATABASE_URL'}`))
  const orm = await openDatabase({ url: settings.databaseUrl, dataFolder: join(settings.dataFolder, 'pglite') })
  undo.push(() => orm.close())
  const em = orm.em.fork()
  const tokens = await moveIn(em)
  const shown = settings.newTokens && tokens.size === 0 ? await issueTokens(em) : tokens
  const { app, url } = await listen(settings, kept, orm)
  const stage: Stage = { app, orm, signal: stopping.signal }
  await tell(stage, settings, kept)
  if (!stopping.signal.aborted) explain(url, await orm.em.fork().find(User, {}, { orderBy: { id: 'asc' } }), shown)
}

async function listen (settings: Settings, kept: Kept, orm: Stage['orm']): Promise<{ app: FastifyInstance, url: string }> {
  const { host, levelApiKey, mesh } = settings
  const port = await choosePort(settings)
  const url = `http://${host.includes(':') ? `[${host}]` : host}:${port}`
  // The fakes live on 127.0.0.1; a real platform does not, and a tenant's connection must not reach this host's network.
  const providers = [level({ allowPrivateNetwork: levelApiKey === undefined }), meshcentral({ allowPrivateNetwork: mesh === undefined })] as unknown as RmmProvider[]
  const app = await buildHost({ orm, providers, boxKey: kept.boxKey, publicUrl: url, logger: { level: process.env['LOG_LEVEL'] ?? 'warn', stream: process.stderr } })
  undo.push(() => app.close())
  await app.listen({ host, port })
  say(`Listening on ${bold(url)}`)
  return { app, url }
}

/** Connects both platforms, fakes unless the environment names real ones, and syncs them. */
async function tell (stage: Stage, { levelApiKey, mesh, dataFolder }: Settings, kept: Kept): Promise<void> {
  if (levelApiKey === undefined) {
    const fake = await startWorld(kept.levelKey, kept.starts)
    undo.push(() => fake.close())
    await tellLevel(stage, await connect(stage, { provider: 'levelio', name: 'Level (fake)', config: { baseUrl: fake.url }, secrets: { apiKey: fake.apiKey } }))
  } else {
    await tellLevel(stage, await connect(stage, { provider: 'levelio', name: 'Level', secrets: { apiKey: levelApiKey } }))
  }
  if (stage.signal.aborted) return
  say()
  if (mesh === undefined) {
    const file = join(dataFolder, 'fake-meshcentral.json')
    const server = await startMesh(kept.meshPassword, file)
    undo.push(() => server.close())
    const { url, username, password } = server
    await tellMesh(stage, await connect(stage, { provider: 'meshcentral', name: 'MeshCentral (fake)', config: { url }, secrets: { username, password } }), { server, file })
  } else {
    const { url, ...secrets } = mesh
    await tellMesh(stage, await connect(stage, { provider: 'meshcentral', name: 'MeshCentral', config: { url }, secrets }))
  }
}

function explain (url: string, users: User[], tokens: ReadonlyMap<string, string>): void {
  say(`\n${bold('Users')}${tokens.size > 0 ? ' and their tokens, shown this once' : '; their tokens were shown at the first start (npm start -- --new-tokens makes new ones)'}`)
  table(users.map(({ id, email, role, tenantId }) => [email, role, tenantId, tokens.get(id) ?? '']))
  const admin = users.find(user => user.tenantId === home && user.role === 'admin')
  say(`\n${bold('Try')}`)
  say(`  TOKEN=${tokens.get(admin?.id ?? '') ?? '…'}`)
  say(`  curl -H "Authorization: Bearer $TOKEN" '${url}/rmm/devices?q=till&limit=5'`)
  say(`  curl -H "Authorization: Bearer $TOKEN" '${url}/rmm/connections'`)
  say(`  curl -H "Authorization: Bearer $TOKEN" '${url}/assets'`)
  say(`\n${bold('API')}  ${url}/docs\n`)
}

/** The port asked for; else 3000, or any free one where that is taken. Chosen before the app is built, as its address is part of it. */
async function choosePort ({ host, port }: Settings): Promise<number> {
  if (port !== undefined && port > 0) return port
  const wanted = port ?? 3000
  const free = await probe(host, wanted)
  if (free !== null) return free
  say(yellow(`Port ${wanted} is taken, so another one is used; PORT=… chooses one`))
  return (await probe(host, 0))!
}

async function probe (host: string, port: number): Promise<number | null> {
  const server = createServer()
  return await new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => error.code === 'EADDRINUSE' ? resolve(null) : reject(error))
    server.listen(port, host, () => {
      const address = server.address()
      server.close(() => resolve(typeof address === 'object' ? address?.port ?? null : null))
    })
  })
}

async function end (code: number): Promise<never> {
  stopping.abort()
  for (const step of undo.reverse()) await Promise.resolve(step()).catch(error => { say(yellow(`While closing: ${(error as Error).message}`)); code ||= 1 })
  process.exit(code)
}

for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => { say('\nClosing …'); void end(0) })

try {
  const settings = readSettings(process.env, process.argv.slice(2))
  await start(settings)
  if (settings.once) await end(0)
  if (!stopping.signal.aborted) say('Stays up until Ctrl-C.')
} catch (error) {
  if (!stopping.signal.aborted) {
    say(yellow(`\nCannot go on: ${(error as Error).message}`))
    await end(1)
  }
}
