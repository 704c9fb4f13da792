import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import t, { type Test } from 'tap'
import { connectLevel, fakeLevel } from '../helper.ts'
import { noBrowser, serve, walk } from './browser.ts'

if (noBrowser) t.comment(noBrowser)

/** A page of somebody else, on another port of the same address: another origin of the same site. */
async function strangersPage(t: Test): Promise<string> {
  const server = createServer((_request, response) =>
    response
      .writeHead(200, { 'content-type': 'text/html' })
      .end('<!doctype html><html lang="en"><title>Win</title><link rel="icon" href="data:,"><p>Look</p></html>')
  ).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

/** A connected account behind a session cookie, and what the server answered to POSTs. */
async function prey(t: Test, trustedOrigins: string[] = []) {
  const fake = await fakeLevel(t, { devices: 1 })
  const answered: number[] = []
  const site = await serve(t, {
    trustedOrigins,
    before(app) {
      app.addHook('onResponse', async (request, reply) => {
        if (request.method === 'POST' && request.headers['x-tenant'] === undefined) answered.push(reply.statusCode)
      })
    }
  })
  const id = await connectLevel(site.host, fake)
  const rotations = async () =>
    (await site.host.app.rmm.activity.list('t1', { type: 'RMM_CONNECTION_CHANGED' })).items.length
  return { site, answered, rotations, rotate: `${site.url}/rmm/connections/${id}/webhook/rotate` }
}

const attack = (url: string) =>
  `fetch(${JSON.stringify(url)}, { method: 'POST', mode: 'no-cors', credentials: 'include' }).then(() => 'sent', String)`

walk('a page of another origin cannot change anything with the cookie of who looks at it', async (t, open) => {
  const { site, answered, rotations, rotate } = await prey(t)
  const stranger = await strangersPage(t)
  const { page, expect } = await open(site)
  expect(/403|favicon\.ico/)
  for (const from of [stranger, stranger.replace('127.0.0.1', 'localhost')]) {
    await page.goto(from)
    t.equal(await page.evaluate(attack(rotate)), 'sent', 'the browser does send it')
    await page.evaluate(
      `(form => { form.method = 'POST'; form.action = ${JSON.stringify(rotate)}; document.body.append(form); form.submit() })(document.createElement('form'))`
    )
    await page.waitForURL(rotate)
  }
  t.strictSame(answered, [403, 403, 403, 403])
  t.equal(await rotations(), 0, 'the secret is what it was')

  await page.goto(`${site.url}/rmm/ui/page.css`)
  t.equal(await page.evaluate(`fetch(${JSON.stringify(rotate)}, { method: 'POST' }).then(r => r.status)`), 200)
  t.equal(await rotations(), 1, 'the own page may')
})

walk('a page of a trusted origin may', async (t, open) => {
  const stranger = await strangersPage(t)
  const { site, answered, rotations, rotate } = await prey(t, [stranger])
  const { page } = await open(site)
  await page.goto(stranger)
  t.equal(await page.evaluate(attack(rotate)), 'sent')
  t.strictSame([answered, await rotations()], [[200], 1])
})
