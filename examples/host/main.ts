import { join } from 'node:path'
import { buildHost } from './app.ts'
import { issueTokens } from './auth.ts'
import { openDatabase, User } from './entities.ts'
import { tellMesh } from './mesh.ts'
import { home, moveIn } from './people.ts'
import { type Platforms, startPlatforms } from './platforms.ts'
import { freePort } from './ports.ts'
import { lockFolder, openKept, readSettings, type Settings } from './settings.ts'
import { connect, type Stage, tellLevel } from './story.ts'
import { bold, dim, say, table, yellow } from './terminal.ts'

const stopping = new AbortController()
/** Undone in reverse when the process ends, however it does. */
const undo: Array<() => unknown> = []

async function start(settings: Settings): Promise<void> {
  const { databaseUrl, dataFolder } = settings
  undo.push(lockFolder(dataFolder))
  const kept = openKept(dataFolder)
  say(
    bold('Example PSA with fastify-rmm-sync') +
      dim(
        `  start ${kept.starts}, ${databaseUrl === undefined ? `PGlite in ${dataFolder}` : 'PostgreSQL of DATABASE_URL'}`
      )
  )
  const orm = await openDatabase({ url: databaseUrl, dataFolder: join(dataFolder, 'pglite') })
  undo.push(() => orm.close())
  const em = orm.em.fork()
  const tokens = await moveIn(em)
  const shown = settings.newTokens && tokens.size === 0 ? await issueTokens(em) : tokens
  const platforms = await startPlatforms(settings, kept)
  undo.push(platforms.close)

  const { host } = settings
  const port = await choosePort(settings)
  const url = `http://${host.includes(':') ? `[${host}]` : host}:${port}`
  const app = await buildHost({
    orm,
    providers: platforms.providers,
    boxKey: kept.boxKey,
    publicUrl: url,
    logger: { level: process.env['LOG_LEVEL'] ?? 'warn', stream: process.stderr }
  })
  undo.push(() => app.close())
  await app.listen({ host, port })
  say(`Listening on ${bold(url)}`)

  const connectionId = await tell({ app, orm, signal: stopping.signal }, platforms)
  if (!stopping.signal.aborted)
    explain(url, connectionId, await orm.em.fork().find(User, {}, { orderBy: { id: 'asc' } }), shown)
}

/** Connects both platforms and syncs them; returns the id of the connection to Level. */
async function tell(stage: Stage, { level, mesh, fakeMesh }: Platforms): Promise<string> {
  const connection = await connect(stage, level)
  await tellLevel(stage, connection)
  if (!stage.signal.aborted) {
    say()
    await tellMesh(stage, await connect(stage, mesh), fakeMesh)
  }
  return connection.id
}

function explain(url: string, connectionId: string, users: User[], tokens: ReadonlyMap<string, string>): void {
  say(
    `\n${bold('Users')}${tokens.size > 0 ? ' and their tokens, shown this once' : '; their tokens were shown before (npm start -- --new-tokens makes new ones)'}`
  )
  table(users.map(({ id, email, role, tenantId }) => [email, role, tenantId, tokens.get(id) ?? '']))
  const admin = users.find(user => user.tenantId === home && user.role === 'admin')
  say(`\n${bold('Try')}`)
  say(`  TOKEN=${tokens.get(admin?.id ?? '') ?? '…'}`)
  say(`  curl -H "Authorization: Bearer $TOKEN" '${url}/rmm/devices?q=till&limit=5'`)
  say(`  curl -H "Authorization: Bearer $TOKEN" -X POST '${url}/rmm/connections/${connectionId}/sync'`)
  say(`  curl -H "Authorization: Bearer $TOKEN" '${url}/assets'`)
  const token = tokens.get(admin?.id ?? '')
  say(
    `\n${bold('Settings page')}  ${url}/rmm/ui/${token === undefined ? '  (it asks for a token)' : `#token=${token}`}`
  )
  say(`${bold('API')}  ${url}/docs\n`)
}

/**
 * The port asked for; else 3000, or any free one where that is taken. Chosen before the app is built, as its address
 * is part of it.
 */
async function choosePort({ host, port }: Settings): Promise<number> {
  const free = await freePort(host, port ?? 3000)
  if (free !== null) return free
  if (port !== undefined) throw new Error(`port ${port} is taken; set PORT to another one`)
  say(yellow('Port 3000 is taken, so a free one is used; PORT=… chooses one'))
  return (await freePort(host, 0))!
}

let ending = false
async function end(code: number): Promise<void> {
  if (ending) return
  ending = true
  stopping.abort()
  for (const step of undo.reverse()) {
    await Promise.resolve()
      .then(step)
      .catch((error: Error) => {
        say(yellow(`While closing: ${error.message}`))
        code ||= 1
      })
  }
  process.exit(code)
}

// Once: a second Ctrl-C ends a close that hangs.
for (const name of ['SIGINT', 'SIGTERM'] as const)
  process.once(name, () => {
    say('\nClosing …')
    void end(0)
  })

try {
  const settings = readSettings(process.env, process.argv.slice(2))
  await start(settings)
  if (settings.once) await end(0)
  if (!stopping.signal.aborted) say('Stays up until Ctrl-C.')
} catch (error) {
  // What was under way when Ctrl-C came fails, and need not be told.
  if (!stopping.signal.aborted) {
    say(yellow(`\nCannot go on: ${(error as Error).message}`))
    await end(1)
  }
}
