import { connectLevel, fakeLevel, syncNow } from '../helper.ts'
import { noBrowser, overflow, serve, settled, until, violations, walk } from './browser.ts'
import t from 'tap'

if (noBrowser) t.comment(noBrowser)

const policy = "default-src 'none'; script-src 'self'; connect-src 'self'; img-src data:"

/** A page of the host's own with the element in it, under a policy that allows no style at all. */
const withHostPage = (script: string) => ({
  before(app: any) {
    app.get('/psa', (_request: unknown, reply: any) =>
      reply
        .header('content-security-policy', policy)
        .type('text/html')
        .send(
          '<!doctype html><html lang="en"><title>PSA</title><link rel="icon" href="data:,"><main><h1>PSA</h1><rmm-settings base="/rmm" id="rmm"></rmm-settings></main><script src="/psa.js"></script><script type="module" src="/rmm/ui/rmm-settings.js"></script></html>'
        )
    )
    app.get('/psa.js', (_request: unknown, reply: any) => reply.type('text/javascript').send(script))
  }
})

walk(
  "embedded in the host's page: with its tokens, its texts, its theme and its strict policy, and its address is left alone",
  async (t, open) => {
    const fake = await fakeLevel(t, { devices: 5 })
    const german =
      '{ connections: "Verbindungen zu Fernwartungsplattformen", alerts: "Warnmeldungen", devices: "Geräte", countDevices_one: "{count} Gerät" }'
    const site = await serve(t, {
      ui: { onRequest: async () => {} },
      ...withHostPage(
        `let asked = 0; const element = document.getElementById('rmm'); element.lang = 'de'; element.token = async () => { asked++; document.documentElement.dataset.asked = asked; return 'operator-token' }; element.strings = ${german}`
      )
    })
    const id = await connectLevel(site.host, fake)
    await syncNow(site.host, id)
    const { page } = await open(site, { signedIn: false })
    await page.goto(`${site.url}/psa`)
    await page.getByRole('heading', { name: 'Verbindungen zu Fernwartungsplattformen' }).waitFor()
    await settled(page)
    t.match(
      await page.locator('.card').first().textContent(),
      /vor \d+ Sekunden?|jetzt/,
      "times are in the reader's language"
    )
    t.ok(Number(await page.evaluate('document.documentElement.dataset.asked')) > 1, 'the token is asked for every time')
    t.equal(
      await page.evaluate(
        'getComputedStyle(document.querySelector("rmm-settings").shadowRoot.querySelector(".card")).borderRadius'
      ),
      '8px',
      'it brings its own style'
    )
    await page.getByRole('link', { name: 'Level', exact: true }).click()
    await page.getByRole('link', { name: 'Mapping', exact: true }).click()
    await page.getByText('Suggestions', { exact: true }).waitFor()
    t.equal(page.url(), `${site.url}/psa`)
    t.same(await violations(page), [])
    await page.evaluate('document.getElementById("rmm").setAttribute("theme", "dark")')
    t.equal(
      await page.evaluate('getComputedStyle(document.querySelector("rmm-settings")).backgroundColor'),
      'rgb(20, 23, 28)'
    )
    await page.setViewportSize({ width: 360, height: 740 })
    t.equal(await overflow(page), 0, 'long words do not widen the page')
  }
)

walk('a host hears that its token is not taken, and the page goes on once it is', async (t, open) => {
  const site = await serve(t, {
    ui: { onRequest: async () => {} },
    ...withHostPage(
      'const element = document.getElementById("rmm"); element.token = "expired"; addEventListener("rmm-unauthorized", () => { document.title = "signed out" })'
    )
  })
  const { page, expect } = await open(site, { signedIn: false })
  expect(/status of 401/)
  await page.goto(`${site.url}/psa`)
  await page.getByText('Your session has ended').waitFor()
  t.equal(await page.title(), 'signed out')
  await page.evaluate('document.getElementById("rmm").token = "operator-token"')
  await page.getByRole('button', { name: 'Try again' }).click()
  await page.getByText('Nothing is connected yet').waitFor()
})

walk(
  'mounted for a host with tokens: from the link, out of the address, kept for the tab, asked for when it ends',
  async (t, open) => {
    const site = await serve(t, { ui: { onRequest: async () => {}, bearer: true } })
    const { page, expect } = await open(site, { signedIn: false })
    expect(/status of 401/)
    const asked: string[] = []
    page.on('request', request => asked.push(request.url()))
    await page.goto(`${site.url}/rmm/ui/#token=operator-token`)
    await page.getByText('Nothing is connected yet').waitFor()
    t.equal(page.url(), `${site.url}/rmm/ui/`)
    t.notOk(
      asked.some(url => url.includes('operator-token')),
      'it is in no address that is asked for'
    )
    await page.reload()
    await page.getByText('Nothing is connected yet').waitFor()
    site.session.alive = false
    await page.getByRole('link', { name: 'Devices' }).click()
    const token = page.getByLabel('Access token')
    await token.waitFor()
    t.same(await violations(page), [])
    site.session.alive = true
    await token.fill('wrong')
    await page.keyboard.press('Enter')
    await until(
      page,
      'document.querySelector("rmm-settings").shadowRoot.querySelector("input[type=password]")?.value === ""'
    )
    await token.fill('operator-token')
    await page.keyboard.press('Enter')
    await page.getByText('No devices yet.').waitFor()
  }
)

walk('mounted for a host with cookies it takes no token from a link', async (t, open) => {
  const site = await serve(t)
  const { page } = await open(site)
  await page.goto(`${site.url}/rmm/ui/#token=somebody-elses`)
  await page.getByText('Nothing is connected yet').waitFor()
  t.equal(await page.evaluate('sessionStorage.length'), 0)
})

walk('behind a proxy that serves it on another path, everything is found', async (t, open) => {
  const site = await serve(t, {
    fastify: { forceCloseConnections: true, rewriteUrl: request => request.url!.replace(/^\/proxied\/psa/, '') }
  })
  const { page, go } = await open(site, { path: '/proxied/psa/rmm/ui/' })
  const asked: string[] = []
  page.on('request', request => asked.push(new URL(request.url()).pathname))
  await page.goto(`${site.url}/proxied/psa/rmm/ui`)
  await page.getByText('Nothing is connected yet').waitFor()
  await go('devices')
  await page.getByText('No devices yet.').waitFor()
  t.ok(
    asked.every(path => path.startsWith('/proxied/psa/rmm')),
    asked.join()
  )
})
