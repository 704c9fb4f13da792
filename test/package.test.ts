import { execFile } from 'node:child_process'
import { copyFile, cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import t from 'tap'
import { anchorsOf, linksOf } from './docs.ts'

const databaseUrl = process.env['TEST_DATABASE_URL']
const root = fileURLToPath(new URL('..', import.meta.url))
const manifest = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as {
  version: string
  exports: Record<string, unknown>
  bin: Record<string, string>
  devDependencies: Record<string, string>
}
const folder = await mkdtemp(join(tmpdir(), 'rmm-package-'))
t.teardown(() => rm(folder, { recursive: true, force: true }))

const exec = promisify(execFile)
// npm and tap put themselves into the environment of every child (tap even of those it is kept from); a host's shell
// has neither.
const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(npm_|_?TAP)/.test(name)))
const run = (file: string, args: string[], cwd: string) =>
  exec('env', ['-u', 'NODE_OPTIONS', file, ...args], { cwd, env, maxBuffer: 16 * 1024 * 1024 })
const npm = (args: string[], cwd: string) => run('npm', args, cwd)

const strictest = {
  strict: true,
  exactOptionalPropertyTypes: true,
  noUncheckedIndexedAccess: true,
  module: 'nodenext',
  target: 'es2024',
  types: ['node']
}
/** What the compiler has to say about a folder. */
const compile = async (cwd: string): Promise<string> =>
  (await run(join(root, 'node_modules', '.bin', 'tsc'), ['-p', '.'], cwd).catch((error: { stdout: string }) => error))
    .stdout

const host = join(folder, 'host')
const installed = join(host, 'node_modules', 'fastify-rmm-sync')
const pinned = [
  'fastify',
  '@mikro-orm/core',
  '@mikro-orm/postgresql',
  '@mikro-orm/pglite',
  '@types/node',
  '@types/pg',
  'prom-client'
].map(name => `${name}@${manifest.devDependencies[name]}`)

/** Runs a module of the host and returns what it printed as JSON. */
async function inHost(name: string, source: string): Promise<any> {
  await writeFile(join(host, name), source)
  const { stdout } = await run(process.execPath, [name], host).catch(error => {
    throw new Error(`${name}: ${error.stderr}`)
  })
  return JSON.parse(stdout)
}

/** What is for reading, beside docs and examples. */
const guide = [
  'README.md',
  'CHANGELOG.md',
  'CONTRIBUTING.md',
  'SECURITY.md',
  'bench/README.md',
  'docs/images/mapping.png'
]

interface Packed {
  filename: string
  size: number
  unpackedSize: number
  files: Array<{ path: string }>
}

async function pack(): Promise<Packed> {
  await npm(['run', 'build'], root)
  const { stdout } = await npm(['pack', '--ignore-scripts', '--json', '--pack-destination', folder], root)
  return (JSON.parse(stdout) as Packed[])[0]!
}

/** Entries whose types are not those of something the host may leave out. */
const entriesWithoutEngines = [
  '',
  '/provider',
  '/providers/level',
  '/providers/meshcentral',
  '/providers/ninjaone',
  '/migrate',
  '/testing',
  '/metrics',
  '/ui'
]

const unreachable = /ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ETIMEDOUT|ENOTCACHED/

async function install(tarball: string): Promise<string | false> {
  await mkdir(host)
  await writeFile(join(host, 'package.json'), JSON.stringify({ name: 'host', private: true, type: 'module' }))
  try {
    await npm(['install', '--prefer-offline', '--no-audit', '--no-fund', join(folder, tarball), ...pinned], host)
    return false
  } catch (error) {
    const { stderr } = error as { stderr: string }
    if (unreachable.test(stderr)) return 'the registry cannot be reached from here'
    throw error
  }
}

t.test('the suite runs on a Node that the package supports', t => {
  // Where install scripts are blocked there is no Node in node_modules, and the system's takes its place unnoticed.
  const [major, minor] = process.versions.node.split('.').map(Number) as [number, number]
  t.ok(major > 22 || (major === 22 && minor >= 20), `Node ${process.versions.node}`)
  t.end()
})

t.test('the packed package works in an empty folder', async t => {
  const packed = await pack()
  const paths = packed.files.map(({ path }) => path)
  t.comment(
    `${packed.filename}: ${(packed.size / 1024).toFixed(0)} kB packed, ${(packed.unpackedSize / 1024).toFixed(0)} kB unpacked, ${paths.length} files`
  )

  t.test('it has what its maps and entries point to, and nothing that is ours alone', async t => {
    t.same(
      paths.filter(
        path =>
          !/^(dist|src|examples)\/|^docs\/[\w-]+\.md$|^(package\.json|LICENSE)$/.test(path) && !guide.includes(path)
      ),
      []
    )
    t.same(
      paths.filter(path => /\.test\.|fixture|\.env|\.tgz$|(^|\/)data\//.test(path)),
      []
    )
    t.ok(packed.size < 2 * 1024 * 1024, 'and it stays below 2 MB')
    for (const file of [
      'LICENSE',
      'CHANGELOG.md',
      'dist/ui/rmm-settings.js',
      'dist/ui/page.css',
      manifest.bin['rmm-sync']!
    ])
      t.ok(paths.includes(file), file)
    const entries = Object.values(manifest.exports).flatMap(entry =>
      typeof entry === 'string' ? [entry] : Object.values(entry as object)
    ) as string[]
    t.same(
      entries.map(entry => entry.replace('./', '')).filter(entry => !paths.includes(entry)),
      []
    )
    const maps = paths.filter(path => path.endsWith('.map'))
    t.ok(maps.length > 100)
    const missing = await Promise.all(
      maps.map(async path => {
        const { sources } = JSON.parse(await readFile(join(root, path), 'utf8')) as { sources: string[] }
        return sources.map(source => join(dirname(path), source)).filter(source => !paths.includes(source))
      })
    )
    t.same(missing.flat(), [])
  })

  t.test('every link of its guide leads to something that came with it', async t => {
    const texts = new Map(
      await Promise.all(
        paths
          .filter(path => path.endsWith('.md'))
          .map(async path => [path, await readFile(join(root, path), 'utf8')] as const)
      )
    )
    const links = [...texts].flatMap(([from, text]) => linksOf(from, text).map(link => ({ from, ...link })))
    t.ok(links.length > 20)
    t.same(
      links.filter(
        ({ target, anchor }) =>
          !paths.some(path => path === target || path.startsWith(`${target.replace(/\/$/, '')}/`)) ||
          (anchor !== undefined && !anchorsOf(texts.get(target) ?? '').includes(anchor))
      ),
      []
    )
    t.same(
      guide.filter(path => !paths.includes(path)),
      []
    )
  })

  t.test('an author of a provider needs nothing but it and TypeBox', async t => {
    const author = join(folder, 'author')
    const modules = join(author, 'node_modules')
    await mkdir(join(modules, 'fastify-rmm-sync'), { recursive: true })
    await writeFile(join(author, 'package.json'), JSON.stringify({ name: 'author', private: true, type: 'module' }))
    await run(
      'tar',
      ['-xzf', join(folder, packed.filename), '-C', join(modules, 'fastify-rmm-sync'), '--strip-components=1'],
      author
    )
    for (const name of ['@sinclair/typebox', '@types/node', 'undici-types'])
      await cp(join(root, 'node_modules', name), join(modules, name), { recursive: true })
    const provider = (await readFile(join(root, 'examples/custom-provider/northwatch.ts'), 'utf8')).replace(
      '../../src/provider.ts',
      'fastify-rmm-sync/provider'
    )
    await writeFile(join(author, 'northwatch.ts'), provider)

    await writeFile(
      join(author, 'tsconfig.json'),
      JSON.stringify({ compilerOptions: { ...strictest, noEmit: true, skipLibCheck: false }, files: ['northwatch.ts'] })
    )
    t.equal(await compile(author), '', 'it compiles, the types of everything it sees included')

    await writeFile(
      join(author, 'loaded.js'),
      `
      import { registerHooks } from 'node:module'
      const loaded = []
      registerHooks({ load (url, context, next) { loaded.push(url); return next(url, context) } })
      const { northwatch } = await import('./northwatch.ts')
      const entry = await import('fastify-rmm-sync/provider')
      console.log(JSON.stringify({ id: northwatch.id, names: Object.keys(entry), loaded }))`
    )
    const { stdout } = await run(process.execPath, ['loaded.js'], author)
    const { id, names, loaded } = JSON.parse(stdout) as { id: string; names: string[]; loaded: string[] }
    t.equal(id, 'northwatch')
    for (const name of ['defineProvider', 'ProviderError', 'mapRecords', 'verifyHmacSha256', 'Type'])
      t.ok(names.includes(name), name)
    t.ok(loaded.length > 3)
    t.same(
      loaded.filter(
        url =>
          !/^node:|\/northwatch\.ts$|\/fastify-rmm-sync\/dist\/provider(s\/[\w-]+)?\.js$|\/@sinclair\/typebox\//.test(
            url
          )
      ),
      [],
      'and loads nothing else'
    )
  })

  const skip = await install(packed.filename)

  t.test('every entry can be imported without the engines of the transports', { skip }, async t => {
    const entries = Object.keys(manifest.exports)
      .filter(entry => entry !== './package.json')
      .map(entry => entry.replace('.', 'fastify-rmm-sync'))
    const names = await inHost(
      'entries.js',
      `
      const entries = ${JSON.stringify(entries)}
      const modules = await Promise.all(entries.map(entry => import(entry)))
      console.log(JSON.stringify(Object.fromEntries(entries.map((entry, i) => [entry, Object.keys(modules[i])]))))`
    )
    const promised: Record<string, string[]> = {
      '': [
        'default',
        'rmmSync',
        'aesGcmSecretBox',
        'withRmmSync',
        'defineProvider',
        'ProviderError',
        'rmmEntities',
        'redisStreamSink',
        'callbackSink',
        'webhookSink',
        'errors'
      ],
      '/provider': ['defineProvider', 'ProviderError', 'mapRecords', 'Type'],
      '/ui': ['RmmSettings'],
      '/providers/level': ['level'],
      '/providers/meshcentral': ['meshcentral'],
      '/providers/ninjaone': ['ninjaone'],
      '/transports/postgres': ['postgresTransport'],
      '/transports/temporal': ['temporalTransport'],
      '/metrics': [],
      '/migrate': ['migrate', 'migrationPlan', 'pendingMigrations'],
      '/testing': ['providerContract', 'startFakeLevel', 'startFakeMeshCentral', 'startFakeNinjaOne', 'fixedClock']
    }
    t.same(
      Object.keys(promised)
        .map(entry => `fastify-rmm-sync${entry}`)
        .filter(entry => !entries.includes(entry)),
      []
    )
    for (const [entry, wanted] of Object.entries(promised))
      t.same(
        wanted.filter(name => !names[`fastify-rmm-sync${entry}`].includes(name)),
        [],
        `fastify-rmm-sync${entry}`
      )
  })

  t.test('a host boots with it and answers', { skip }, async t => {
    const driver = databaseUrl === undefined ? 'pglite' : 'postgresql'
    const config = databaseUrl === undefined ? { dbName: 'memory://' } : { clientUrl: databaseUrl }
    const answer = await inHost(
      'host.js',
      `
      import Fastify from 'fastify'
      import { MikroORM } from '@mikro-orm/${driver}'
      import rmmSync, { aesGcmSecretBox, withRmmSync } from 'fastify-rmm-sync'
      import { level } from 'fastify-rmm-sync/providers/level'
      import { meshcentral } from 'fastify-rmm-sync/providers/meshcentral'
      const schema = 'rmm_package_${process.pid}'
      const orm = await MikroORM.init(withRmmSync({ ...${JSON.stringify(config)}, entities: [], discovery: { warnWhenNoEntities: false } }, { schema }))
      // An empty PGlite takes its time to unfold, and the plugin is not to be blamed for it.
      await orm.em.getConnection().execute('select 1')
      const app = Fastify({ pluginTimeout: 60_000 })
      await app.register(rmmSync, {
        orm, schema, migrations: 'run', providers: [level(), meshcentral()], tenant: () => 't1', authorize: () => {},
        secrets: aesGcmSecretBox({ keys: { k1: Buffer.alloc(32, 1).toString('base64') }, current: 'k1' }), ui: { onRequest: async () => {} }
      })
      const providers = await app.inject('/rmm/providers')
      const page = await app.inject('/rmm/ui/')
      const script = await app.inject('/rmm/ui/rmm-settings.js')
      await app.close()
      await orm.em.getConnection().execute('drop schema ' + schema + ' cascade')
      await orm.close()
      console.log(JSON.stringify({ status: providers.statusCode, ids: providers.json().items.map(provider => provider.id), page: page.statusCode, script: script.statusCode }))`
    )
    t.same(answer, { status: 200, ids: ['levelio', 'meshcentral'], page: 200, script: 200 })
  })

  t.test('its command line starts', { skip }, async t => {
    const { stdout } = await run(
      join(host, 'node_modules', '.bin', 'rmm-sync'),
      ['migrate', '--plan', '--schema', 'rmm_x'],
      host
    )
    t.match(stdout, /^begin;\ncreate schema if not exists "rmm_x";/)
  })

  t.test('it brings no second copy of what it shares with the host', { skip }, async t => {
    const copies = async (name: string) =>
      (await readdir(join(host, 'node_modules'), { recursive: true })).filter(
        path => path.endsWith(join('node_modules', name, 'package.json')) || path === join(name, 'package.json')
      )
    // MikroORM pins its own kysely; another patch of it beside is harmless, and is what the host above ran with where
    // npm chose one.
    for (const name of ['fastify', '@mikro-orm/core', '@mikro-orm/sql'])
      t.same(await copies(name), [join(name, 'package.json')], name)
  })

  t.test('a strict consumer compiles against its types', { skip }, async t => {
    await copyFile(fileURLToPath(new URL('types/host.ts', import.meta.url)), join(host, 'consumer.ts'))
    await writeFile(
      join(host, 'tsconfig.json'),
      JSON.stringify({
        // Some of the transports' types are those of engines that are not installed here.
        compilerOptions: { ...strictest, noEmit: true, skipLibCheck: true },
        files: ['consumer.ts']
      })
    )
    t.equal(await compile(host), '')
    t.ok((await readdir(installed)).includes('dist'))
  })

  t.test('without skipLibCheck a consumer needs what the README says, for the types of MikroORM', { skip }, async t => {
    await writeFile(
      join(host, 'plain.ts'),
      ['@mikro-orm/postgresql', ...entriesWithoutEngines.map(entry => `fastify-rmm-sync${entry}`)]
        .map((entry, n) => `import * as entry${n} from '${entry}'\nvoid entry${n}\n`)
        .join('')
    )
    const check = async (lib: string[]) => {
      const compilerOptions = {
        ...strictest,
        exactOptionalPropertyTypes: false,
        lib,
        noEmit: true,
        skipLibCheck: false
      }
      await writeFile(join(host, 'tsconfig.json'), JSON.stringify({ compilerOptions, files: ['plain.ts'] }))
      return (await compile(host)).trim().split('\n').filter(Boolean)
    }
    t.same(await check(['es2024', 'esnext.temporal']), [])
    t.match(await check(['es2024']), [/^node_modules\/postgres-interval\/.*'Temporal'/], 'and not more than that')
  })
})
