import fc from 'fast-check'
import t from 'tap'
import { ProviderError } from '../../../src/index.ts'
import { isInsideAddress, isPrivateAddress } from '../../../src/services/egress/addresses.ts'
import { createEgress } from '../../../src/services/egress/index.ts'
import { specialIpv4, specialIpv6 } from '../../../src/services/egress/special-addresses.ts'

const toIpv4 = (value: number) => [24, 16, 8, 0].map(shift => (value >>> shift) & 255).join('.')
const toIpv6 = (value: bigint) =>
  Array.from({ length: 8 }, (_, n) => ((value >> BigInt(112 - 16 * n)) & 0xffffn).toString(16)).join(':')

function parse(address: string): { value: bigint; bits: number } {
  if (!address.includes(':'))
    return { value: address.split('.').reduce((sum, part) => sum * 256n + BigInt(part), 0n), bits: 32 }
  const [head = '', tail = ''] = address.split('::') as [string, string?]
  const groups = (text: string) => (text === '' ? [] : text.split(':'))
  const middle = address.includes('::') ? 8 - groups(head).length - groups(tail).length : 0
  const all = [...groups(head), ...Array<string>(middle).fill('0'), ...groups(tail)]
  return { value: all.reduce((sum, group) => sum * 65_536n + BigInt(`0x${group}`), 0n), bits: 128 }
}

/** First and last value of a block, worked out without the lists under test. */
function span(block: string): { first: bigint; last: bigint; bits: number } {
  const [net, prefix] = block.split('/') as [string, string]
  const { value, bits } = parse(net)
  return { first: value, last: value | ((1n << BigInt(bits - Number(prefix))) - 1n), bits }
}

const write = (value: bigint, bits: number) => (bits === 32 ? toIpv4(Number(value)) : toIpv6(value))
const table = [...specialIpv4, ...specialIpv6].map(([block, reach]) => ({ block, reach, ...span(block) }))
/** The smallest block decides. */
const deciding = (value: bigint, bits: number) =>
  table
    .filter(entry => entry.bits === bits && entry.first <= value && value <= entry.last)
    .sort((a, b) => Number(a.last - a.first - (b.last - b.first)))[0]

t.test('of every special block the first and the last address are judged by it, their neighbours by themselves', t => {
  for (const { block, first, last, bits } of table) {
    for (const value of [first, last, first - 1n, last + 1n]) {
      if (value < 0n || value >= 1n << BigInt(bits)) continue
      const address = write(value, bits)
      const entry = deciding(value, bits)
      const outside = bits === 128 && value >> 125n !== 1n && value >> 32n !== parse('64:ff9b::').value >> 32n
      const mapped = bits === 128 && value >> 32n === 0xffffn
      if (mapped) continue
      t.equal(
        isPrivateAddress(address),
        entry === undefined ? outside : entry.reach !== 'reachable',
        `${address} (${block})`
      )
      t.equal(isInsideAddress(address), entry?.reach === 'inside', `${address} inside (${block})`)
    }
  }
  t.end()
})

t.test('any address is judged by its smallest block, and IPv6 outside of 2000::/3 is nobody’s', t => {
  fc.assert(
    fc.property(fc.bigInt({ min: 0n, max: (1n << 128n) - 1n }), value => {
      const entry = deciding(value, 128)
      const expected = entry === undefined ? value >> 125n !== 1n : entry.reach !== 'reachable'
      return isPrivateAddress(toIpv6(value)) === expected
    })
  )
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 0xffff_ffff }), value => {
      const entry = deciding(BigInt(value), 32)
      return isPrivateAddress(toIpv4(value)) === (entry !== undefined && entry.reach !== 'reachable')
    })
  )
  t.end()
})

t.test(
  'IPv4 in IPv6 is what its IPv4 is, mapped or translated, however it is written; 6to4 and Teredo are never public',
  t => {
    const edges = specialIpv4.flatMap(([block]) => [span(block).first, span(block).last])
    fc.assert(
      fc.property(fc.oneof(fc.constantFrom(...edges), fc.bigInt({ min: 0n, max: 0xffff_ffffn })), value => {
        const dotted = toIpv4(Number(value))
        const hex = `${(value >> 16n).toString(16)}:${(value & 0xffffn).toString(16)}`
        const expected = isPrivateAddress(dotted)
        for (const carrier of [
          `::ffff:${dotted}`,
          `::ffff:${hex}`,
          `0:0:0:0:0:FFFF:${hex}`,
          `64:ff9b::${dotted}`,
          `64:ff9b::${hex}`
        ]) {
          if (isPrivateAddress(carrier) !== expected) return false
          if (isInsideAddress(carrier) !== isInsideAddress(dotted)) return false
        }
        return (
          isPrivateAddress(`2002:${hex}::1`) &&
          isPrivateAddress(`2001:0:${hex}::1`) &&
          !isInsideAddress(`2002:${hex}::1`)
        )
      }),
      { numRuns: 500 }
    )
    t.end()
  }
)

t.test('what is no address is not public, and a zone changes nothing', t => {
  for (const text of ['', 'localhost', '10.0.0', '1.2.3.4.5', ':::', '8.8.8.8 ', '0x7f000001'])
    t.strictSame([isPrivateAddress(text), isInsideAddress(text)], [true, false], text)
  t.strictSame([isPrivateAddress('fe80::1%eth0'), isInsideAddress('fe80::1%eth0')], [true, true])
  t.end()
})

/**
 * The two registries as IANA keeps them: block, and whether it is globally reachable (null: "N/A"). Kept apart from the
 * table under test, in the registries' own order and with every row of them, also those that a wider row covers.
 * Compared with copies of the registries of 2013-05-01 and 2020-09-04 and the RFCs since: 9374 (2022), 9602, 9637
 * (2024), 9665, 9780 (2025).
 */
const registries: ReadonlyArray<readonly [block: string, globallyReachable: boolean | null]> = [
  ['0.0.0.0/8', false],
  ['0.0.0.0/32', false],
  ['10.0.0.0/8', false],
  ['100.64.0.0/10', false],
  ['127.0.0.0/8', false],
  ['169.254.0.0/16', false],
  ['172.16.0.0/12', false],
  ['192.0.0.0/24', false],
  ['192.0.0.0/29', false],
  ['192.0.0.8/32', false],
  ['192.0.0.9/32', true],
  ['192.0.0.10/32', true],
  ['192.0.0.170/32', false],
  ['192.0.0.171/32', false],
  ['192.0.2.0/24', false],
  ['192.31.196.0/24', true],
  ['192.52.193.0/24', true],
  ['192.88.99.0/24', null],
  ['192.88.99.2/32', false],
  ['192.168.0.0/16', false],
  ['192.175.48.0/24', true],
  ['198.18.0.0/15', false],
  ['198.51.100.0/24', false],
  ['203.0.113.0/24', false],
  ['240.0.0.0/4', false],
  ['255.255.255.255/32', false],
  ['::1/128', false],
  ['::/128', false],
  ['64:ff9b:1::/48', false],
  ['100::/64', false],
  ['100:0:0:1::/64', false],
  ['2001::/23', false],
  ['2001::/32', null],
  ['2001:1::1/128', true],
  ['2001:1::2/128', true],
  ['2001:1::3/128', true],
  ['2001:2::/48', false],
  ['2001:3::/32', true],
  ['2001:4:112::/48', true],
  ['2001:10::/28', null],
  ['2001:20::/28', true],
  ['2001:30::/28', true],
  ['2001:db8::/32', false],
  ['2002::/16', null],
  ['2620:4f:8000::/48', true],
  ['3fff::/20', false],
  ['5f00::/16', false],
  ['fc00::/7', false],
  ['fe80::/10', false]
]

t.test('every row of the registries of IANA is judged as they say; what they leave open is not public', t => {
  const within = (inner: ReturnType<typeof span>, outer: ReturnType<typeof span>) =>
    inner.bits === outer.bits && inner.first >= outer.first && inner.last <= outer.last
  const exceptions = registries
    .filter(([, reachable]) => reachable === true)
    .map(([block]) => ({ block, ...span(block) }))
  for (const [block, reachable] of registries) {
    const of = span(block)
    fc.assert(
      fc.property(fc.oneof(fc.constantFrom(of.first, of.last), fc.bigInt({ min: of.first, max: of.last })), value => {
        const at = { first: value, last: value, bits: of.bits }
        const excepted = reachable !== true && exceptions.some(other => within(at, other))
        return isPrivateAddress(write(value, of.bits)) === (reachable !== true && !excepted)
      }),
      { numRuns: 50 }
    )
  }
  t.end()
})

/** An IPv4 address in the ways URLs allow: numbers in three bases, with one to four parts. */
const spellings = fc
  .record({
    value: fc.oneof(
      fc.constantFrom(...specialIpv4.flatMap(([block]) => [span(block).first, span(block).last]).map(Number)),
      fc.integer({ min: 0, max: 0xffff_ffff })
    ),
    parts: fc.integer({ min: 1, max: 4 }),
    bases: fc.array(fc.constantFrom('decimal', 'octal', 'hex', 'HEX'), { minLength: 4, maxLength: 4 })
  })
  .map(({ value, parts, bases }) => {
    const bytes = toIpv4(value).split('.').map(Number)
    const last = bytes.slice(parts - 1).reduce((sum, byte) => sum * 256 + byte, 0)
    const numbers = [...bytes.slice(0, parts - 1), last]
    const spell = {
      decimal: String,
      octal: (n: number) => `0${n.toString(8)}`,
      hex: (n: number) => `0x${n.toString(16)}`,
      HEX: (n: number) => `0X00${n.toString(16).toUpperCase()}`
    }
    return { dotted: toIpv4(value), text: numbers.map((n, at) => spell[bases[at] as keyof typeof spell](n)).join('.') }
  })

t.test(
  'a private address stays one in decimal, octal, hexadecimal, with fewer parts, or in IPv6: nothing is sent',
  async () => {
    const log = { debug() {}, info() {}, warn() {}, error() {} }
    const { signal } = new AbortController()
    await fc.assert(
      fc.asyncProperty(spellings, fc.boolean(), async ({ dotted, text }, mapped) => {
        const { hostname } = new URL(`https://${text}/`)
        if (hostname !== dotted) return false
        const literal = mapped ? `[::ffff:${dotted}]` : text
        if (!isPrivateAddress(dotted)) return true
        const { host } = new URL(`https://${literal}:1/`)
        const egress = createEgress({ hosts: [host], allowPrivateNetwork: false, log, signal, redact: [] })
        const refused = await egress.fetch(`https://${literal}:1/`).catch((error: unknown) => error)
        await egress.close()
        return refused instanceof ProviderError && refused.kind === 'forbidden'
      }),
      { numRuns: 200 }
    )
  }
)
