import Fastify from 'fastify'
import t from 'tap'
import { uiRoutes } from '../../src/routes/ui.ts'
import { buildUi, sizesOf } from '../../src/ui/build.ts'
import { build } from '../helper.ts'

const guarded = { onRequest: async () => {} }

t.test('the page and its files come with a strict policy, and inline nothing', async t => {
  const { app } = await build(t, { ui: guarded })
  const page = await app.inject('/rmm/ui/')
  t.equal(page.statusCode, 200)
  t.match(page.headers['content-type'], /^text\/html/)
  const policy = String(page.headers['content-security-policy'])
  for (const rule of [
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "connect-src 'self'",
    "frame-ancestors 'self'"
  ])
    t.ok(policy.split('; ').includes(rule), rule)
  t.notMatch(policy, /unsafe|\*/)
  t.notMatch(page.body, /<style|style=|<script>|onload|onclick/)
  t.notMatch(page.body, /(?:src|href)="\//, 'every address is relative')
  for (const [file, type] of [
    ['rmm-settings.js', /^text\/javascript/],
    ['page.css', /^text\/css/]
  ] as const) {
    t.match(page.body, `"${file}"`)
    const { statusCode, headers } = await app.inject(`/rmm/ui/${file}`)
    t.equal(statusCode, 200)
    t.match(headers['content-type'], type)
    t.equal(headers['x-content-type-options'], 'nosniff')
    t.equal(headers['content-security-policy'], policy)
  }
  t.equal((await app.inject('/rmm/ui/../package.json')).statusCode, 404)
})

t.test('what the browser has is not sent again', async t => {
  const { app } = await build(t, { ui: guarded })
  const first = await app.inject('/rmm/ui/rmm-settings.js')
  const etag = String(first.headers['etag'])
  t.equal(first.headers['cache-control'], 'private, no-cache')
  for (const known of [etag, `W/${etag}`, `"other", ${etag}`, '*']) {
    const again = await app.inject({ url: '/rmm/ui/rmm-settings.js', headers: { 'if-none-match': known } })
    t.equal(again.statusCode, 304, known)
    t.equal(again.body, '')
    t.equal(again.headers['etag'], etag)
  }
  t.equal(
    (await app.inject({ url: '/rmm/ui/rmm-settings.js', headers: { 'if-none-match': '"other"' } })).statusCode,
    200
  )
  t.equal((await app.inject({ method: 'HEAD', url: '/rmm/ui/rmm-settings.js' })).body, '')
})

t.test('without the slash it leads to the page by a relative address, also behind a proxy on another path', async t => {
  for (const [prefix, router] of [
    ['/rmm', {}],
    ['', {}],
    ['/a/b/', {}],
    ['/rmm', { ignoreTrailingSlash: true }]
  ] as const) {
    const { app } = await build(t, { ui: guarded, prefix, fastify: { routerOptions: router } })
    const at = `${prefix.replace(/\/$/, '')}/ui`
    const lost = await app.inject(`${at}?x=1`)
    t.equal(lost.statusCode, 302, at)
    t.equal(
      new URL(String(lost.headers['location']), `https://psa.example.com/proxied${at}`).pathname,
      `/proxied${at}/`
    )
    t.equal((await app.inject(`${at}/`)).statusCode, 200, `${at}/`)
  }
})

t.test(
  'the guard refuses the page and its files, in the format of the host; without a guard there is no page',
  async t => {
    const refuse = async () => {
      throw Object.assign(new Error('Sign in'), { statusCode: 401 })
    }
    const { app } = await build(t, { ui: { onRequest: [async () => {}, refuse] } })
    for (const url of ['/rmm/ui', '/rmm/ui/', '/rmm/ui/rmm-settings.js', '/rmm/ui/page.css'])
      t.equal((await app.inject(url)).statusCode, 401, url)
    t.equal(
      (await app.inject({ url: '/rmm/providers', headers: { 'x-tenant': 't1' } })).statusCode,
      200,
      'the API has a guard of its own'
    )
    await t.rejects(build(t, { ui: {} as never }), { code: 'RMM_ERR_OPTION', message: /guard/ })
    await t.rejects(build(t, { ui: { ...guarded, basePath: '//evil.example' } }), {
      code: 'RMM_ERR_OPTION',
      message: /ui\.basePath/
    })
    const { app: without } = await build(t)
    t.equal((await without.inject('/rmm/ui/')).statusCode, 404)
  }
)

t.test('a host may say where the API is for the browser, and that it works with tokens', async t => {
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(uiRoutes, { ...guarded, prefix: '/ui', basePath: '/psa/"><script>', bearer: true })
  const { body } = await app.inject('/ui/')
  t.match(body, 'base="/psa/&#34;&#62;&#60;script&#62;"')
  t.match(body, / bearer>/)
  t.notMatch((await app.inject('/ui/')).body, '<script>"')
})

t.test("the page is no part of the documented API, and the host's own policy does not get in its way", async t => {
  const { default: swagger } = await import('@fastify/swagger')
  const { app } = await build(t, {
    ui: guarded,
    async before(app) {
      await app.register(swagger, { openapi: { info: { title: 'x', version: '1' } } })
      app.addHook('onRequest', async (_request, reply) => {
        reply.header('content-security-policy', "default-src 'self'; style-src 'unsafe-inline'")
      })
    }
  })
  t.same(
    Object.keys((app as any).swagger().paths).filter(path => path.includes('/ui')),
    []
  )
  t.match((await app.inject('/rmm/ui/')).headers['content-security-policy'], /default-src 'none'/)
  t.match(
    (await app.inject({ url: '/rmm/providers', headers: { 'x-tenant': 't1' } })).headers['content-security-policy'],
    /default-src 'self'/,
    'elsewhere it holds'
  )
})

t.test('the bundle is small', async t => {
  const { bytes, gzip } = sizesOf((await buildUi())['rmm-settings.js'])
  t.comment(`rmm-settings.js: ${(bytes / 1024).toFixed(1)} kB, ${(gzip / 1024).toFixed(1)} kB gzip`)
  t.ok(gzip < 60 * 1024, `${gzip} bytes gzip`)
})
