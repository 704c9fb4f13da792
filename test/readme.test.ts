import { execFile } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import swagger from '@fastify/swagger'
import type { RouteOptions as FastifyRoute } from 'fastify'
import t, { type Test } from 'tap'
import { resolveOptions, type RmmSyncOptions } from '../src/options.ts'
import { tableNames } from '../src/services/store/database.ts'
import { anchorsOf, blocksOf, codeOf, documents, linksOf, part, root, rowsOf, textOf, writePart } from './docs.ts'
import { eventTables } from './event-tables.ts'
import { secrets } from './helper.ts'
import { build } from './routes/stub.ts'

const packageJson = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
  exports: Record<string, string | { default: string }>
}
/** The file of src/ behind an entry of the package's exports. */
const sourceOf = (entry: { default: string }) => entry.default.replace('./dist/', 'src/').replace(/\.js$/, '.ts')

/** Documents whose examples, together, compile in a host that has what stands in `surroundings`. */
const compiled = ['README.md', 'docs/routes.md', 'docs/events.md', 'docs/storage.md']

/** What a host has around the examples. */
const surroundings = `
import { randomUUID } from 'node:crypto'
import { defineEntity, p } from '@mikro-orm/core'
import type { FastifyInstance } from 'fastify'
import type { Client } from 'fastify-rmm-sync'
declare module 'fastify' { interface FastifyRequest { user?: { tenantId: string, may (action: string): boolean } } }
declare const env: { DATABASE_URL: string, RMM_KEY: string }
declare const app: FastifyInstance
declare const tenantId: string, connectionId: string
declare function page (tenantId: string, severity: string, text: string): Promise<void>
declare const clients: { of (tenantId: string): Promise<Client[]>, find (tenantId: string, id: string): Promise<Client | null> }
const Asset = defineEntity({ name: 'Asset', properties: { id: p.string().primary(), tenantId: p.string(), clientId: p.string().nullable(), name: p.text(), retired: p.boolean() } })
const entities = [Asset]
void [randomUUID, entities]
`

t.test('every TypeScript example compiles, under strict options, against this version', async t => {
  const examples = compiled.map(path => blocksOf(path, 'ts'))
  t.notOk(examples.some(blocks => blocks.length === 0))
  const usage = examples[0]![0]!.trim().split('\n').length
  t.ok(usage <= 15, `the first one is short (${usage} lines)`)
  const paths = Object.fromEntries(
    Object.entries(packageJson.exports).flatMap(([name, entry]) =>
      typeof entry === 'string' ? [] : [[`fastify-rmm-sync${name.slice(1)}`, [join(root, sourceOf(entry))]]]
    )
  )
  const folder = t.testdir({
    ...Object.fromEntries(examples.map((blocks, index) => [`example-${index}.ts`, surroundings + blocks.join('\n')])),
    // A host does not compile with our options; these are TypeScript's own strict ones.
    'tsconfig.json': JSON.stringify({
      compilerOptions: {
        target: 'es2024',
        lib: ['es2024', 'esnext.disposable'],
        module: 'nodenext',
        types: ['node'],
        strict: true,
        noEmit: true,
        skipLibCheck: true,
        allowImportingTsExtensions: true,
        paths,
        typeRoots: [join(root, 'node_modules/@types')]
      },
      include: ['*.ts']
    }),
    'package.json': JSON.stringify({ type: 'module' }),
    // A compiler that does not start, or finds no types, reports nothing either.
    'control.ts': "import { level } from 'fastify-rmm-sync/providers/level'\nlevel({ requestsPerMinute: 'many' })\n"
  })
  // The test runner loads itself into every process by NODE_OPTIONS, and the compiler does not start with it.
  const { stdout } = await promisify(execFile)(
    'env',
    ['-u', 'NODE_OPTIONS', join(root, 'node_modules/.bin/tsc'), '-p', folder, '--pretty', 'false'],
    { cwd: root }
  ).catch((error: { stdout: string }) => error)
  // What is wrong inside src is told by `npm run types`, with the options it is written for.
  const errors = stdout
    .split('\n')
    .filter(line => /(example-\d+|control)\.ts\(/.test(line))
    .map(line => line.slice(line.lastIndexOf('/') + 1))
  t.match(
    errors.filter(line => line.startsWith('control')),
    [/^control\.ts\(2,.*Type 'string' is not assignable to type 'number'/],
    'a mistake is found'
  )
  t.strictSame(
    errors.filter(line => line.startsWith('example')),
    [],
    'and there is none in the examples'
  )
})

t.test('the options table has every option with its default', async t => {
  const required: RmmSyncOptions = {
    orm: { em: { getConnection() {} } } as never,
    providers: [],
    tenant: () => null,
    authorize() {},
    secrets
  }
  const rows = rowsOf('options')
  const named = rows.map(([name]) => codeOf(name!)[0]!)
  const known = failure({ ...required, nonsense: true } as never)
    .split('the options are ')[1]!
    .split(', ')
  const resolved = resolveOptions(required) as unknown as Record<string, any>
  t.strictSame(
    named.sort(),
    [
      ...known.filter(name => name !== 'engine' && name !== 'retention'),
      ...['engine', 'retention'].flatMap(group => Object.keys(resolved[group]).map(name => `${group}.${name}`))
    ].sort(),
    'all of them, and no other'
  )
  for (const [cell, text] of rows) {
    const name = codeOf(cell!)[0]!
    const value = name.split('.').reduce<any>((at, key) => at[key], resolved)
    if (text === 'required')
      t.match(
        failure({ ...required, [name]: undefined } as never),
        new RegExp(`option '${name}'`),
        `${name} is required`
      )
    else if (text!.startsWith('`'))
      t.strictSame(value, (new Function(`return ${codeOf(text!)[0]}`) as () => unknown)(), `${name} is ${text}`)
    else if (name === 'directory') t.strictSame(value.clients('t'), [], 'no clients')
    else if (name === 'actor') t.equal(value({}), null, 'nobody')
    else if (name === 'available') t.equal(value('any', 't'), true, 'every provider')
    else t.equal(value, undefined, `${name} has no default`)
  }
})

function failure(options: RmmSyncOptions): string {
  try {
    resolveOptions(options)
  } catch (error) {
    return (error as Error).message
  }
  throw new Error('these options should have been refused')
}

t.test('the tables of the providers have every option with its default', async t => {
  for (const [name, options] of [
    ['level', 'LevelOptions'],
    ['meshcentral', 'MeshCentralOptions'],
    ['ninjaone', 'NinjaOneOptions']
  ] as const) {
    const source = textOf(`src/providers/${name}/index.ts`)
    const [, body] = new RegExp(`export interface ${options} \\{\\n([\\s\\S]*?)\\n\\}`).exec(source)!
    const declared = [...body!.matchAll(/\/\*\*([\s\S]*?)\*\/\s+(\w+)\?:/g)].map(([, doc, option]) => [
      option,
      /Default\s+(none|false|[\d ]+)/.exec(doc!.replaceAll('*', ''))?.[1]?.replaceAll(' ', '')
    ])
    t.ok(declared.length >= 2)
    t.strictSame(
      rowsOf(name).map(([option, value]) => [codeOf(option!)[0], codeOf(value!)[0] ?? value]),
      declared,
      `${name}: as its docstrings say`
    )
  }
})

/** The routes table as the OpenAPI document has it; the action of a route is in its Fastify config. */
async function routesTable(): Promise<string> {
  const actions = new Map<string, string>()
  const { app } = await build(t, {
    host: async app => {
      await app.register(swagger, { openapi: { info: { title: 'host', version: '1' } } })
      app.addHook('onRoute', (route: FastifyRoute) => {
        actions.set(`${String(route.method)} ${route.url}`, route.config?.rmmAction ?? '')
      })
    }
  })
  await app.ready()
  const { paths } = app.swagger() as unknown as { paths: Record<string, Record<string, { summary: string }>> }
  const rows = Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, { summary }]) => {
      const url = path.replace(/\{(\w+)\}/g, ':$1')
      return `| \`${method.toUpperCase()} ${url.replace(/^\/rmm/, '')}\` | \`${actions.get(`${method.toUpperCase()} ${url}`)}\` | ${summary} |`
    })
  )
  return `| Route | Action | |\n|---|---|---|\n${rows.join('\n')}\n`
}

/** Compares a part that is made from the code, or writes it. */
function made(t: Test, name: string, text: string): void {
  if (process.env['UPDATE_DOCS'] === '1') writePart(name, text)
  t.equal(part(name), text)
}

t.test('the routes table is that of the OpenAPI document (UPDATE_DOCS=1 writes it)', async t => {
  made(t, 'routes', await routesTable())
})

t.test('every payload is told field by field (UPDATE_DOCS=1 writes it)', async t => {
  made(t, 'events', eventTables())
})

t.test('tables and exports are told completely and as they are', async t => {
  t.strictSame(
    rowsOf('tables')
      .flatMap(([cell]) => codeOf(cell!))
      .sort(),
    tableNames.map(name => `rmm_${name}`).sort()
  )

  const rows = rowsOf('exports')
  const entries = Object.entries(packageJson.exports).filter(([, entry]) => typeof entry !== 'string')
  t.strictSame(
    rows.map(([cell]) => codeOf(cell!)[0]!.replace('fastify-rmm-sync', '.')).sort(),
    entries.map(([name]) => name).sort(),
    'every entry of the package'
  )
  for (const [cell, text] of rows) {
    const entry = codeOf(cell!)[0]!
    // Defines an element and exports nothing; it needs a browser.
    if (entry.endsWith('/ui')) continue
    const source = sourceOf(packageJson.exports[entry.replace('fastify-rmm-sync', '.')] as { default: string })
    const exported = Object.keys(await import(join(root, source)))
    const told = codeOf(text!).filter(name => /^\w+$/.test(name))
    t.ok(told.length > 0)
    t.strictSame(
      told.filter(name => !exported.includes(name)),
      [],
      `${entry} has what is told of it`
    )
  }
})

/** The text of every file below a folder of src; not that of folders which have a row of their own. */
function sourcesOf(folder: string, others: string[]): string[] {
  return readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .map(name => `${folder}/${name}`)
    .filter(path => /\.tsx?$/.test(path))
    .filter(path => !others.some(other => other.startsWith(`${folder}/`) && path.startsWith(`${other}/`)))
    .map(textOf)
}

t.test('the map of CONTRIBUTING.md has every folder, and answers twenty questions in one step', async t => {
  const folders = (below: string) =>
    readdirSync(join(root, below), { withFileTypes: true })
      .filter(entry => entry.isDirectory())
      .map(entry => `${below}/${entry.name}`)
  const told = rowsOf('map').map(([folder]) => codeOf(folder!)[0]!)
  t.strictSame([...told].sort(), ['src', ...folders('src'), ...folders('src/services')].sort())

  const questions = rowsOf('questions')
  t.equal(questions.length, 20)
  for (const [question, folder, word] of questions) {
    const [path, look] = [codeOf(folder!)[0]!, codeOf(word!)[0]!]
    t.ok(told.includes(path) && sourcesOf(path, told).some(text => text.includes(look)), `Where ${question}`)
  }
})

t.test('the README leads to every page of docs', t => {
  const linked = linksOf('README.md', textOf('README.md')).map(({ target }) => target)
  t.strictSame(
    documents.filter(path => path.startsWith('docs/') && !linked.includes(path)),
    []
  )
  t.end()
})

t.test('links lead somewhere, to their headings too', async t => {
  const links = documents.flatMap(from => linksOf(from, textOf(from)).map(link => ({ from, ...link })))
  t.ok(links.length > 20)
  t.strictSame(
    links.filter(
      ({ target, anchor }) =>
        !existsSync(join(root, target)) || (anchor !== undefined && !anchorsOf(textOf(target)).includes(anchor))
    ),
    []
  )
})
