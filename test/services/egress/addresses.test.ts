import fc from 'fast-check'
import t from 'tap'
import { isInsideAddress, isPrivateAddress } from '../../../src/services/egress/addresses.ts'
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
