import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { FastifyRequest } from 'fastify'
import { type BrowserContext, chromium, type Page } from 'playwright-core'
import t, { type Test } from 'tap'
import { build, type Host, type HostOptions } from '../helper.ts'
import { until as comes } from '../until.ts'

const usual = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome', '/opt/google/chrome/chrome']
const executablePath = process.env['CHROMIUM_PATH'] ?? usual.find(path => existsSync(path))

/** A reason to skip the tests of the page, or false. Where CI is set a browser is required. */
export const noBrowser =
  executablePath !== undefined || process.env['CI']
    ? false
    : `no Chromium: set CHROMIUM_PATH (looked for ${usual.join(', ')})`

const quiet = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync'
]
const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')

export interface Site {
  host: Host
  /** Of the host, without the page's path. */
  url: string
  /** Whether the host still knows its user, and what it allows; a test takes these away. */
  session: { alive: boolean; denied: Set<string> }
}

const isSignedIn = (request: FastifyRequest) =>
  request.headers.cookie?.includes('session=operator') === true ||
  request.headers.authorization === 'Bearer operator-token'

/** A host with the page behind a session cookie, listening on a port of its own. */
export async function serve(t: Test, { port = 0, ...options }: HostOptions & { port?: number } = {}): Promise<Site> {
  const session: Site['session'] = { alive: true, denied: new Set() }
  const signedOut = () => Object.assign(new Error('Sign in first'), { statusCode: 401 })
  const host = await build(t, {
    // A browser opens connections ahead of its requests; a server that closes would wait for these.
    fastify: { forceCloseConnections: true },
    ui: {
      onRequest: async request => {
        if (!isSignedIn(request)) throw signedOut()
      }
    },
    tenant(request) {
      if (request.headers['x-tenant'] !== undefined) return request.headers['x-tenant'] as string
      if (!session.alive || !isSignedIn(request)) throw signedOut()
      return 't1'
    },
    authorize(_request, action) {
      if (session.denied.has(action)) throw Object.assign(new Error('Ask your administrator'), { statusCode: 403 })
    },
    ...options
  })
  await host.app.listen({ host: '127.0.0.1', port })
  return { host, session, url: `http://127.0.0.1:${(host.app.server.address() as AddressInfo).port}` }
}

let started: Promise<BrowserContext> | undefined
const profile = () => mkdtempSync(join(tmpdir(), 'rmm-ui-'))

async function start(): Promise<BrowserContext> {
  const folder = profile()
  const context = await chromium.launchPersistentContext(folder, {
    executablePath: executablePath!,
    args: quiet,
    locale: 'en-GB',
    timezoneId: 'Europe/Berlin',
    viewport: { width: 1100, height: 800 }
  })
  t.teardown(async () => {
    await context.close()
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 })
  })
  return context
}

export interface Tab {
  page: Page
  /** Goes to a place of the settings page and waits until it is loaded. */
  go(place: string): Promise<void>
  /**
   * What the browser complained about since the last call: errors in its console, uncaught errors, broken rules of
   * the CSP.
   */
  complaints(): string[]
  /** Complaints with this in them are part of the test. */
  expect(pattern: RegExp): void
}

/** A test in the browser; what the browser complains about in any of its tabs fails it. */
export function walk(
  name: string,
  body: (t: Test, open: (site: Site, options?: OpenOptions) => Promise<Tab>) => Promise<void>
): void {
  void t.test(name, { skip: noBrowser }, async t => {
    const tabs: Tab[] = []
    await body(t, async (site, options) => {
      const tab = await open(t, site, options)
      tabs.push(tab)
      return tab
    })
    t.same(
      tabs.flatMap(tab => tab.complaints()),
      [],
      'the browser has nothing to complain about'
    )
  })
}

export interface OpenOptions {
  width?: number
  height?: number
  path?: string
  signedIn?: boolean
}

/** A tab in the browser that all tests of a file share. */
export async function open(
  t: Test,
  site: Site,
  { width = 1100, height = 800, path = '/rmm/ui/', signedIn = true }: OpenOptions = {}
): Promise<Tab> {
  started ??= start()
  const context = await started
  await context.clearCookies()
  if (signedIn)
    await context.addCookies([
      { name: 'session', value: 'operator', url: site.url, httpOnly: true, sameSite: 'Strict' }
    ])
  const page = await context.newPage()
  page.setDefaultTimeout(60_000)
  await page.setViewportSize({ width, height })
  let heard: string[] = []
  const expected: RegExp[] = []
  page.on('console', message => {
    if (message.type() === 'error' || /Content Security Policy/i.test(message.text()))
      heard.push(`${message.text()} ${message.location().url}`)
  })
  page.on('pageerror', error => heard.push(`uncaught: ${error.stack ?? error.message}`))
  await page.addInitScript(
    'addEventListener("securitypolicyviolation", event => console.error("CSP: " + event.violatedDirective + " " + event.blockedURI))'
  )
  const complaints = () => {
    const found = heard.filter(text => !expected.some(pattern => pattern.test(text)))
    heard = []
    return found
  }
  t.teardown(() => page.close({ runBeforeUnload: false }))
  return {
    page,
    complaints,
    expect: pattern => {
      expected.push(pattern)
    },
    async go(place) {
      const to = `${site.url}${path}#/${place}`
      if (page.url().startsWith(`${site.url}${path}`))
        await page.evaluate(`location.hash = ${JSON.stringify(`/${place}`)}`)
      else await page.goto(to)
      await page.locator('.main:not([aria-busy=true])').waitFor()
      await settled(page)
    }
  }
}

/**
 * Until the expression holds in the page. Asked through the debugger: the page's CSP lets nothing be evaluated in it.
 */
export async function until(page: Page, expression: string): Promise<void> {
  await comes(expression, async () => await page.evaluate<boolean>(expression))
}

/** Until nothing is being loaded any more. */
export async function settled(page: Page): Promise<void> {
  await until(
    page,
    "(root => Boolean(root?.querySelector('.main')) && !root.querySelector('.loading, [aria-busy=true]'))(document.querySelector('rmm-settings')?.shadowRoot)"
  )
}

interface AxeResults {
  passes: Array<{ id: string }>
  violations: Array<{ id: string; nodes: Array<{ target: string[][]; failureSummary: string }> }>
}

/** What axe finds, as `rule: element`, in light and in dark. */
export async function violations(page: Page): Promise<string[]> {
  const found: string[] = []
  for (const colorScheme of ['light', 'dark'] as const) {
    await page.emulateMedia({ colorScheme })
    // Through the debugger, which the page's CSP does not bind.
    if (!(await page.evaluate('"axe" in globalThis'))) await page.evaluate(axe)
    const results = (await page.evaluate('axe.run(document, { resultTypes: ["violations"] })')) as AxeResults
    if (!results.passes.some(({ id }) => id === 'color-contrast')) throw new Error('axe looked at nothing')
    for (const { id, nodes } of results.violations)
      for (const node of nodes)
        found.push(`${colorScheme} ${id}: ${node.target.flat().join(' ')} ${node.failureSummary}`)
  }
  await page.emulateMedia({ colorScheme: 'light' })
  return found
}

/** Pixels by which the page is wider than the window. */
export const overflow = (page: Page): Promise<number> =>
  page.evaluate('document.documentElement.scrollWidth - document.documentElement.clientWidth')
