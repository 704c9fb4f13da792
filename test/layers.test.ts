import { readdirSync, readFileSync } from 'node:fs'
import { posix } from 'node:path'
import t from 'tap'

/**
 * Who may import whom. A file obeys the first rule whose `of` its path starts with; a target is a path below `src` or
 * a package. `values` are allowed at run time, `types` only as types.
 */
interface Rule {
  of: string
  values: RegExp[]
  types?: RegExp[]
  why: string
}

const pureNode = /^node:(crypto|util|url|path|buffer|timers\/promises|events|stream)$/
const own = /^(errors|log|types|rmm|options|option-checks|waits|words)\.ts$/

const rules: Rule[] = [
  {
    of: 'providers/',
    why: 'a provider knows its platform and the interface, nothing of the host',
    values: [/^providers\//, /^@sinclair\/typebox/, pureNode],
    types: [/^(types|words)\.ts$/]
  },
  {
    of: 'provider.ts',
    why: 'what an author of a provider loads needs no database and no Fastify',
    values: [/^providers\/\w[\w-]*\.ts$/, /^@sinclair\/typebox$/],
    types: [/^words\.ts$/]
  },
  {
    of: 'routes/',
    why: 'routes speak HTTP and call one service; the database is not theirs',
    values: [
      /^routes\//,
      own,
      /^ui\//,
      /^(fastify|@fastify\/.+|@sinclair\/typebox.*|ajv|ajv-formats|undici)$/,
      pureNode,
      /^node:(http|fs|fs\/promises)$/
    ],
    types: [/^services\/(?!store\/)/, /^providers\/define\.ts$/]
  },
  {
    of: 'services/model/',
    why: 'pure rules: no I/O, no state, nothing of the other wings',
    values: [/^services\/model\//, /^providers\/define\.ts$/, own, pureNode]
  },
  {
    of: 'services/store/',
    why: 'the only place that speaks SQL',
    values: [/^services\/(store|model)\//, own, /^kysely$/, pureNode],
    types: [/^@mikro-orm\/core$/, /^providers\//]
  },
  {
    of: 'services/egress/',
    why: 'the egress of providers: the network, and nothing else',
    values: [
      /^services\/egress\//,
      /^services\/model\/index\.ts$/,
      /^providers\/define\.ts$/,
      own,
      /^undici$/,
      pureNode,
      /^node:(net|tls|dns|zlib)$/
    ],
    types: [/^node:/, /^fastify$/, /^services\/core\.ts$/]
  },
  {
    of: 'services/',
    why: 'the domain knows no HTTP server, no ORM and no SQL',
    values: [
      /^services\//,
      /^providers\/(define|hmac)\.ts$/,
      own,
      /^@sinclair\/typebox/,
      /^(ajv|ajv-formats|undici)$/,
      pureNode,
      /^node:(os|perf_hooks|diagnostics_channel|async_hooks)$/
    ],
    types: [/^(fastify|@mikro-orm\/core)$/]
  },
  {
    of: 'transports/postgres',
    why: 'a transport knows the executor and its engine',
    values: [/^transports\//, own, /^pg-boss$/, pureNode],
    types: [/^services\/sync\/index\.ts$/]
  },
  {
    of: 'transports/temporal',
    why: 'a transport knows the executor and its engine',
    values: [/^transports\//, own, /^@temporalio\//, pureNode, /^node:(module|fs|fs\/promises|os)$/],
    types: [/^services\/sync\/index\.ts$/]
  },
  {
    of: 'transports/',
    why: 'a transport knows the executor, nothing else',
    values: [/^transports\//, own, pureNode],
    types: [/^services\/sync\/index\.ts$/]
  },
  {
    of: 'entities/',
    why: 'tables as the host may read them',
    values: [/^entities\//, /^@mikro-orm\/core$/],
    types: [/^types\.ts$/]
  },
  {
    of: 'migrations/',
    why: 'SQL and its runner',
    values: [/^migrations\//, own, /^kysely$/],
    types: [/^@mikro-orm\/core$/, /^services\/store\/index\.ts$/]
  },
  {
    of: 'testing/',
    why: 'what tests of providers and hosts need, without the host',
    values: [
      /^testing\//,
      /^providers\//,
      /^services\/(egress\/|platform\/secrets\.ts)/,
      own,
      /^(@sinclair\/typebox.*|undici|ws|ajv|ajv-formats)$/,
      /^node:/
    ],
    types: [/./]
  },
  { of: 'ui/build.ts', why: 'makes the page when the package is built', values: [/^node:/, /^esbuild$/, /^ui\//] },
  {
    of: 'ui/',
    why: 'runs in a browser',
    values: [/^ui\//, /^preact/, /^services\/model\/tree\.ts$/],
    types: [/^types\.ts$/]
  }
]

interface Import {
  target: string
  names: string[]
  typeOnly: boolean
}

const withoutComments = (source: string) => source.replace(/\/\*[\s\S]*?\*\//g, '').replace(/(^|\s)\/\/.*$/gm, '$1')

function importsOf(file: string, source: string): Import[] {
  const code = withoutComments(source)
  const statements = [
    ...code.matchAll(
      /^(?:import|export)\s+(?!default\b|const\b|function\b|async\b|class\b|interface\b)(type\s)?([^;'"`()=]*?)\s*from\s+'([^']+)'/gm
    )
  ].map(([, type, clause, from]) => {
    const names = /{([\s\S]*)}/
      .exec(clause!)?.[1]
      ?.split(',')
      .map(name => name.trim())
      .filter(Boolean) ?? [clause!.trim()]
    return {
      target: from!,
      names,
      typeOnly: type !== undefined || (clause!.startsWith('{') && names.every(name => name.startsWith('type ')))
    }
  })
  const others = [...code.matchAll(/\bimport\s*\(\s*'([^']+)'|^import\s+'([^']+)'/gm)].map(([, dynamic, bare]) => ({
    target: (dynamic ?? bare)!,
    names: ['*'],
    typeOnly: false
  }))
  return [...statements, ...others].map(found => ({
    ...found,
    target: found.target.startsWith('.') ? posix.join(posix.dirname(file), found.target) : found.target
  }))
}

/** `node:net` also holds what only computes with addresses. */
const addressMath = new Set(['BlockList', 'isIP', 'isIPv4', 'isIPv6', 'SocketAddress'])
const isAddressMath = ({ target, names }: Import) => target === 'node:net' && names.every(name => addressMath.has(name))

function violations(file: string, source: string): string[] {
  const rule = rules.find(({ of }) => file.startsWith(of))
  if (rule === undefined) return []
  const imported = importsOf(file, source)
    .filter(found => !isAddressMath(found))
    .filter(
      ({ target, typeOnly }) =>
        ![...rule.values, ...(typeOnly ? (rule.types ?? []) : [])].some(allowed => allowed.test(target))
    )
    .map(({ target, typeOnly }) => `${file} imports ${target}${typeOnly ? ' (types)' : ''}: ${rule.why}`)
  return [
    ...imported,
    ...(file.startsWith('providers/') ? globalsIn(source).map(name => `${file} uses ${name}: ${rule.why}`) : [])
  ]
}

/**
 * What the runtime hands to everybody. `fetch` is fine where it is the one that was given: taken apart from a
 * context.
 */
function globalsIn(source: string): string[] {
  const code = withoutComments(source)
  const given = /[{,]\s*fetch\s*[,}]/.test(code)
  const found = code.matchAll(/(?<![.\w'])(?:process|globalThis)\b|(?<![.\w'])fetch\s*\(|new WebSocket\b/g)
  return [...found].map(([name]) => name).filter(name => !given || !name.startsWith('fetch'))
}

const src = new URL('../src/', import.meta.url)
const files = readdirSync(src, { recursive: true, encoding: 'utf8' })
  .map(file => file.replaceAll('\\', '/'))
  .filter(file => /\.tsx?$/.test(file))
const read = (file: string) => readFileSync(new URL(file, src), 'utf8')

t.test('every file imports only what its layer may know', t => {
  t.ok(files.length > 100, `${files.length} files`)
  t.same(
    files.flatMap(file => violations(file, read(file))),
    []
  )
  t.end()
})

/**
 * The wings of the domain, ground first: an arrow runs only to a wing before its own, and through that wing's
 * `index.ts`.
 */
const wings = [
  'model',
  'store',
  'egress',
  'platform',
  'outbound',
  'sync',
  'mapping',
  'inventory',
  'alerts',
  'device-groups',
  'inbound',
  'connections'
]

/** The wing a file below `src` belongs to; undefined outside of them. */
const wingOf = (file: string) => /^services\/([^/]+)\//.exec(file)?.[1]

function wrongArrows(file: string, source: string): string[] {
  const wing = wingOf(file)
  return importsOf(file, source).flatMap(({ target }) => {
    const to = wingOf(target)
    if (wing === undefined && /^services\/(index|ticker|duties|health)\.ts$/.test(target)) return []
    if (wing !== undefined && /^services\/(index|ticker|duties|health)\.ts$/.test(target))
      return [`${file} imports ${target}: the wings do not know who builds them`]
    if (wing === undefined || to === undefined || to === wing) return []
    if (wings.indexOf(to) > wings.indexOf(wing))
      return [`${file} imports ${target}: '${to}' stands on '${wing}', not the other way round`]
    return target === `services/${to}/index.ts`
      ? []
      : [`${file} imports ${target}: other wings know '${to}' by its index.ts`]
  })
}

/** The files of one circle of imports, or null. */
function circle(graph: ReadonlyMap<string, string[]>): string[] | null {
  const done = new Set<string>()
  const path: string[] = []
  function walk(file: string): string[] | null {
    if (path.includes(file)) return [...path.slice(path.indexOf(file)), file]
    if (done.has(file)) return null
    path.push(file)
    for (const target of graph.get(file) ?? []) {
      const found = walk(target)
      if (found !== null) return found
    }
    path.pop()
    done.add(file)
    return null
  }
  for (const file of graph.keys()) {
    const found = walk(file)
    if (found !== null) return found
  }
  return null
}

t.test('every wing imports only wings below it, by their index', t => {
  t.same(
    [...new Set(files.map(wingOf).filter(wing => wing !== undefined))].sort(),
    [...wings].sort(),
    'every folder has its place in the order'
  )
  t.same(
    files.flatMap(file => wrongArrows(file, read(file))),
    []
  )
  for (const wing of wings)
    t.match(read(`services/${wing}/index.ts`), /^\/\*\*\n \* [A-Z]/, `'${wing}' says in its first lines what it is for`)
  t.end()
})

t.test('there is no circle of imports, types included', t => {
  t.equal(
    circle(
      new Map(
        files.map(file => [
          file,
          importsOf(file, read(file))
            .map(({ target }) => target)
            .filter(target => files.includes(target))
        ])
      )
    ),
    null
  )
  t.end()
})

t.test('only the store and the migrations speak SQL; only they and the entities touch MikroORM at run time', t => {
  const users = (pattern: RegExp) =>
    files.filter(file => importsOf(file, read(file)).some(({ target, typeOnly }) => !typeOnly && pattern.test(target)))
  t.same(
    users(/^kysely$/).filter(file => !/^(services\/store|migrations)\//.test(file)),
    []
  )
  t.same(
    users(/^@mikro-orm\//).filter(file => !file.startsWith('entities/')),
    ['cli.ts'],
    'the command line makes an ORM of its own'
  )
  t.end()
})

t.test('what the entry for authors of providers reaches needs neither database nor Fastify, types included', t => {
  const reached = new Set(['provider.ts'])
  for (const file of reached)
    if (files.includes(file)) for (const { target } of importsOf(file, read(file))) reached.add(target)
  t.same(
    files.filter(file => /^providers\/[\w-]+\.ts$/.test(file) && !reached.has(file)),
    [],
    'what stands beside the platforms is for all authors'
  )
  t.same(
    [...reached].filter(
      target => !/^(provider\.ts|providers\/[\w-]+\.ts|words\.ts|@sinclair\/typebox|node:crypto)$/.test(target)
    ),
    []
  )
  t.end()
})

t.test('what is for tests is not loaded by the plugin', t => {
  t.same(
    files.filter(
      file =>
        !file.startsWith('testing/') && importsOf(file, read(file)).some(({ target }) => target.startsWith('testing/'))
    ),
    []
  )
  t.end()
})

t.test('no wait of the library leaves the process to others', t => {
  const found = files.filter(
    file => !file.startsWith('ui/') && file !== 'waits.ts' && /\bref: false|AbortSignal\.timeout\(/.test(read(file))
  )
  t.strictSame(found, [], 'a timer without a reference settles no promise; see src/waits.ts')
  t.end()
})

t.test('tests wait for conditions, in one place', t => {
  const own = new Map([
    ['until.ts', 'the place'],
    ['layers.test.ts', 'this'],
    ['steady.test.ts', 'a file that is meant to fail'],
    ['services/egress/http.test.ts', 'a clock of its own, and an answer that takes a moment'],
    ['services/device-groups/device-groups.test.ts', 'answers that come late'],
    ['e2e/mesh-agent.ts', 'a process that does not end when it is asked to']
  ])
  const files = readdirSync(new URL('.', import.meta.url), { recursive: true, encoding: 'utf8' }).filter(file =>
    file.endsWith('.ts')
  )
  const found = files.filter(
    file =>
      !own.has(file) &&
      /(?<![.\w])setTimeout\b|timers\/promises'.*setTimeout|waitForTimeout/.test(
        readFileSync(new URL(file, import.meta.url), 'utf8')
      )
  )
  t.strictSame(found, [], "a time that is long enough today is too short on a busy machine: use test/until.ts's")
  t.end()
})

t.test('the rules notice what they forbid', t => {
  const caught = (file: string, source: string) => violations(file, source).length === 1
  t.ok(caught('providers/x.ts', "import { sql } from 'kysely'"))
  t.ok(caught('providers/x.ts', "import {\n  a,\n  b\n} from '../services/core.ts'"))
  t.ok(caught('providers/x/y.ts', "import { connect } from 'node:net'"))
  t.ok(caught('providers/x.ts', "import type { FastifyRequest } from 'fastify'"))
  t.ok(caught('providers/x.ts', 'const key = process.env.KEY'))
  t.ok(caught('providers/x.ts', "const page = await fetch('https://example.com')"))
  t.ok(caught('routes/x.ts', "import type { Database } from '../services/store/index.ts'"))
  t.ok(caught('services/x.ts', "const { sql } = await import('kysely')"))
  t.ok(caught('services/x.ts', "export { routes } from '../routes/index.ts'"))
  t.ok(caught('services/x.ts', "import Fastify, { type FastifyInstance } from 'fastify'"))
  t.ok(caught('transports/x.ts', "import { openDatabase } from '../services/store/database.ts'"))
  t.match(wrongArrows('services/sync/x.ts', "import { a } from '../inbound/index.ts'"), [
    /services\/sync\/x\.ts imports services\/inbound\/index\.ts/
  ])
  t.match(wrongArrows('services/sync/x.ts', "import type { A } from '../store/runs/runs.ts'"), [/by its index\.ts/])
  t.match(wrongArrows('services/model/x.ts', "import { a } from '../index.ts'"), [/who builds them/])
  t.same(wrongArrows('services/sync/x.ts', "import { a } from '../store/index.ts'\nimport { b } from './y.ts'"), [])
  t.same(
    circle(
      new Map([
        ['a', ['b']],
        ['b', ['c']],
        ['c', ['b']]
      ])
    ),
    ['b', 'c', 'b']
  )
  t.equal(
    circle(
      new Map([
        ['a', ['b', 'c']],
        ['b', ['c']],
        ['c', []]
      ])
    ),
    null
  )
  t.same(
    violations(
      'providers/x.ts',
      "import { isIP } from 'node:net'\nimport type { Device } from '../types.ts'\n// import { sql } from 'kysely'\nconst page = await client.fetch('/v2')"
    ),
    []
  )
  t.end()
})
