import { Type } from '@sinclair/typebox'
import fc from 'fast-check'
import t from 'tap'
import { destinationOf, leadsElsewhere } from '../../../src/services/egress/egress.ts'
import { level } from '../../../src/providers/level/index.ts'
import { meshcentral } from '../../../src/providers/meshcentral/index.ts'
import type { RmmProvider } from '../../../src/providers/define.ts'

const [levelio, mesh] = [level() as RmmProvider, meshcentral() as RmmProvider]
const elsewhere = (provider: Parameters<typeof destinationOf>[0], from: object, to: object) =>
  leadsElsewhere(destinationOf(provider, { ...from }), destinationOf(provider, { ...to }))

const pem = (body: string) => `-----BEGIN CERTIFICATE-----\n${body}\n-----END CERTIFICATE-----\n`

t.test('the same place in another spelling is the same destination', async t => {
  const same: Array<[RmmProvider, object, object]> = [
    [levelio, {}, { baseUrl: 'https://api.level.io' }],
    [levelio, {}, { baseUrl: 'HTTPS://API.LEVEL.IO:443/v2/' }],
    [mesh, { url: 'https://mesh.example.com' }, { url: 'https://mesh.example.com/' }],
    [mesh, { url: 'https://mesh.example.com' }, { url: 'https://MESH.example.com:443/other/path' }],
    [mesh, { url: 'https://mesh.example.com' }, { url: 'https://mesh.example.com', domain: 'alt' }],
    [mesh, { url: 'https://bücher.example' }, { url: 'https://xn--bcher-kva.example' }],
    [mesh, { url: 'http://127.0.0.1:80' }, { url: 'http://2130706433' }],
    [mesh, { url: 'https://a.example', ca: pem('QUJD') }, { url: 'https://a.example', ca: ` ${pem('QU\nJD').trim()}` }],
    [mesh, { url: 'https://a.example' }, { url: 'https://a.example', ca: ' ' }],
    [mesh, { url: 'https://a.example/?key=abc' }, { url: 'https://a.example' }]
  ]
  for (const [provider, a, b] of same) {
    t.notOk(elsewhere(provider, a, b), JSON.stringify([a, b]))
    t.notOk(elsewhere(provider, b, a), JSON.stringify([b, a]))
  }
})

t.test('another host, port, scheme or authority is another destination', async t => {
  const other: Array<[RmmProvider, object, object]> = [
    [levelio, { baseUrl: 'https://eu.level.io' }, {}],
    [levelio, {}, { baseUrl: 'http://api.level.io' }],
    [mesh, { url: 'https://mesh.example.com' }, { url: 'https://mesh.example.com.evil.example' }],
    [mesh, { url: 'https://mesh.example.com' }, { url: 'https://mesh.example.com:8443' }],
    [mesh, { url: 'https://mesh.example.com' }, { url: 'https://mesh.example.com.' }],
    [mesh, { url: 'https://10.0.0.1' }, { url: 'http://10.0.0.1:443' }],
    [mesh, { url: 'https://a.example' }, { url: 'https://a.example', ca: pem('QUJD') }],
    [mesh, { url: 'https://a.example', ca: pem('QUJD') }, { url: 'https://a.example', ca: pem('QUJE') }],
    [mesh, { url: 'https://a.example', ca: pem('QUJD') }, { url: 'https://a.example', ca: pem('QUJD') + pem('QUJE') }],
    [mesh, { url: 'https://a.example', ca: pem('QUJD') }, { url: 'https://a.example' }]
  ]
  for (const [provider, a, b] of other) t.ok(elsewhere(provider, a, b), JSON.stringify([a, b]))
})

t.test("a provider's own list of hosts counts, whatever its config is made of", async t => {
  const regional = {
    configSchema: Type.Object({ region: Type.String(), relay: Type.Optional(Type.String()) }),
    hosts: ({ region, relay }: any) => [`${region}.api.example`, ...(relay === undefined ? [] : [relay])]
  }
  t.strictSame(destinationOf(regional, { region: 'eu' }).origins, ['https://eu.api.example'])
  t.ok(elsewhere(regional, { region: 'eu' }, { region: 'us' }))
  t.notOk(elsewhere(regional, { region: 'eu' }, { region: 'EU' }))
  t.ok(elsewhere(regional, { region: 'eu' }, { region: 'eu', relay: 'http://10.0.0.1' }))
  t.notOk(elsewhere(regional, { region: 'eu', relay: 'r.example' }, { region: 'eu' }), 'fewer places are no new ones')

  const withAddress = { configSchema: Type.Object({ at: Type.String() }), hosts: ({ at }: any) => [new URL(at).host] }
  t.strictSame(destinationOf(withAddress, { at: 'http://127.0.0.1:8080/x' }).origins, ['http://127.0.0.1:8080'])
  t.ok(elsewhere(withAddress, { at: 'https://127.0.0.1:8080' }, { at: 'http://127.0.0.1:8080' }), 'the scheme counts')

  const pinned = {
    configSchema: Type.Object({ url: Type.String({ format: 'uri' }), root: Type.Optional(Type.String()) })
  }
  t.ok(
    elsewhere(pinned, { url: 'https://a.example' }, { url: 'https://a.example', root: pem('QUJD') }),
    'a certificate counts whatever the field is called'
  )
})

t.test('what an egress lets through is what secrets are bound to', async () => {
  const url = fc.record({
    scheme: fc.constantFrom('https', 'http'),
    host: fc.constantFrom('a.example', 'A.example', 'b.example', '10.0.0.1', '[::1]'),
    port: fc.constantFrom('', ':80', ':443', ':8443'),
    path: fc.constantFrom('', '/', '/x')
  })
  fc.assert(
    fc.property(url, url, (a, b) => {
      const text = (of: typeof a) => `${of.scheme}://${of.host}${of.port}${of.path}`
      const same = new URL(text(a)).origin === new URL(text(b)).origin
      return elsewhere(mesh, { url: text(a) }, { url: text(b) }) === !same
    })
  )
})
