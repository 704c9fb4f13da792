import { Type } from '@sinclair/typebox'
import fc from 'fast-check'
import t from 'tap'
import { addressesIn, declaredAddresses, secretPart, shownConfig } from '../../../src/services/model/addresses.ts'

const schema = Type.Object({
  url: Type.String({ format: 'uri' }),
  base: Type.Optional(Type.String({ format: 'uri', default: 'https://api.example.com' })),
  mirrors: Type.Optional(Type.Array(Type.String({ format: 'uri' }))),
  relay: Type.Optional(Type.Object({ at: Type.String({ format: 'uri' }) })),
  note: Type.Optional(Type.String())
})

t.test('addresses are found where the schema says so, and wherever else there is one', async t => {
  const config = {
    url: 'https://a.example/x',
    mirrors: ['https://m.example'],
    relay: { at: 'wss://r.example' },
    note: 'see https://no.example',
    more: { deep: ['HTTPS://n.example', 7, null] }
  }
  t.strictSame(
    declaredAddresses(schema, config).map(({ field, text }) => `${field} ${text}`),
    [
      'url https://a.example/x',
      'base https://api.example.com',
      'mirrors.0 https://m.example',
      'relay.at wss://r.example'
    ]
  )
  t.strictSame(
    addressesIn(schema, config).map(({ field }) => field),
    ['url', 'base', 'mirrors.0', 'relay.at', 'more.deep.0']
  )
})

const host = fc.constantFrom(
  'mesh.example.com',
  'BÜCHER.example',
  '[::1]',
  '10.0.0.5:8443',
  'a.b',
  'xn--bcher-kva.example'
)
const scheme = fc.constantFrom(
  'https://',
  'http://',
  'HTTPS://',
  'wss://',
  'ws:/',
  'https:',
  'https:\\\\',
  ' https://',
  'ht\ntps://'
)
const path = fc.constantFrom('', '/', '/alt', '/alt/', '/a@b', '/a;b', '\\alt')
const secret = fc.stringMatching(/^[A-Za-z0-9_.~-]{6,20}$/).map(text => `sEcReT${text}`)

t.test('whatever carries something in an address is refused, and shown without it', async () => {
  fc.assert(
    fc.property(scheme, host, path, secret, fc.nat(4), (scheme, host, path, secret, how) => {
      const text = [
        `${scheme}${secret}@${host}${path}`,
        `${scheme}bob:${secret}@${host}${path}`,
        `${scheme}${host}${path}?key=${secret}`,
        `${scheme}${host}${path}?${secret}`,
        `${scheme}${host}${path}#${secret}`
      ][how]!
      const shown = JSON.stringify(shownConfig({ url: text, deep: [{ url: text }] }))
      return secretPart(text) !== null && !shown.includes(secret)
    })
  )
})

t.test('an address that carries nothing is taken, and shown as it is', async t => {
  fc.assert(
    fc.property(scheme, host, path, (scheme, host, path) => {
      const text = scheme + host + path
      return secretPart(text) === null && shownConfig({ url: text })['url'] === text
    })
  )
  const config = {
    url: 'https://mesh.example.com/',
    contact: 'mailto:a@b.example',
    question: 'what? #1',
    ca: '-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----',
    n: 5,
    on: true,
    nothing: null
  }
  t.strictSame(shownConfig(config), config)
})

t.test('an empty query or fragment is one too', async t => {
  t.equal(secretPart('https://a.example/?'), 'a query')
  t.equal(secretPart('https://a.example/#'), 'a fragment')
  t.equal(secretPart('https://@a.example/'), 'a user name or password')
})
