import fc from 'fast-check'
import t from 'tap'
import {
  cleanMacs,
  cleanManufacturer,
  cleanModel,
  cleanSerial,
  isOwnMac
} from '../../../src/services/model/normalize/clean-keys.ts'
import { sharedMacPrefixes, sharedMacs } from '../../../src/services/model/normalize/filler-keys.ts'

t.test('what manufacturers left where a serial number should be is none, however it is spelled', async t => {
  const fillers = [
    'To be filled by OEM',
    'To Be Filled By O.E.M.',
    'TO BE FILLED BY O.E.M',
    'to_be_filled_by_o.e.m.',
    'Default string',
    'DEFAULT STRING',
    'Default-String',
    'System Serial Number',
    'Chassis Serial Number',
    'Base Board Serial Number',
    'BaseBoardSerialNumber',
    'Serial Number xxxxxx',
    'SystemSerialNumb',
    'OEM_Serial',
    'Not Specified',
    'Not Applicable',
    'Not Available',
    'None',
    'none',
    'N/A',
    'n.a.',
    'NULL',
    '(null string)',
    'INVALID',
    'Unknown',
    'Unknow',
    'empty',
    'EVAL',
    'IATPASS',
    'Tulip Computers',
    'O.E.M.',
    'SYS-1234567890',
    'SYS-9876543210',
    'MB-1234567890',
    'SN-12345',
    'SN-1234567890',
    'SN-123456fvgv3i0b8o5n6n7k',
    '12345',
    '123456789',
    '0123456789',
    '1234567890',
    '123456789000',
    '12345678901234567',
    '0',
    '00000000',
    '0000-0000',
    '1111111',
    'XXXXXXX',
    'xxxxxxxxxxx',
    'NNNNNNN',
    '........',
    '--------',
    '* * *',
    '01010101',
    '1.0',
    '1.2.3',
    'abc',
    '123',
    'VMware-56 4d 8a 11 0c 77 1b 6e-0a 2b 3c 4d 5e 6f 70 81',
    ''
  ]
  for (const filler of fillers) {
    t.equal(cleanSerial(filler), null, filler)
    t.equal(cleanSerial(` ${filler.toUpperCase()} `), null, filler.toUpperCase())
  }
})

t.test('serial numbers of real machines survive', async t => {
  const real = [
    '7HX2QK3', // Dell
    'HJKLMNP',
    'CN-0W3XYZ-70163-65A-01AB',
    'PF2ABC12', // Lenovo
    'R90XYZ12',
    'MJ0ABCDE',
    '5CG1234XYZ', // HP
    '2UA7301BCD',
    'CZC0123456',
    'C02XK1ABJG5J', // Apple
    'FVFXC2ABCDEF',
    'D25XK0ABCDEF',
    'YM2Q7H4K1L', // Fujitsu
    'DSBL012345',
    'NXVHYEG00112345678', // Acer
    'K9N0CV12E345361', // ASUS
    'S4EVNX0M123456', // Samsung
    'J30CK8UJ',
    'NHQ5DEG00F130',
    'A264025X9717128', // Supermicro
    '8Y2F3H2',
    '4711',
    '20240815001',
    '3842-1943-5520-7711-0934-5567-12', // Hyper-V guests
    'Parallels-1B 4F 8C 00 9D 2A 4E 11 B0 00 11 22 33 44 55 66',
    '0000123456789A',
    '110011002',
    'SN-1000',
    'SN7919',
    's1'
  ]
  for (const serial of real) t.equal(cleanSerial(serial), serial, serial)
})

/** As manufacturers make them: seven to fifteen letters and digits. */
const letter = fc.constantFrom(...'ABCDEFGHJKLMNPQRSTUVWXYZ')
const digit = fc.constantFrom(...'0123456789')
const serials = fc
  .oneof(
    fc.tuple(letter, fc.array(fc.oneof(letter, digit), { minLength: 6, maxLength: 14 }), digit, letter),
    fc.tuple(digit, fc.array(fc.oneof(letter, digit), { minLength: 5, maxLength: 9 }), letter, digit),
    fc.tuple(
      fc.constantFrom('2', '4', '5'),
      fc.array(digit, { minLength: 7, maxLength: 12 }),
      fc.constantFrom('47', '83'),
      fc.constantFrom('2', '6')
    )
  )
  .map(([first, middle, last, end]) => `${first}${middle.join('')}${last}${end}`)

t.test("made-up serial numbers in the makers' formats survive, in any spelling", async () => {
  const prefixed = /^(vmware|sys|sn|mb|nb|bb|eb|bs)/i
  fc.assert(
    fc.property(
      serials.filter(serial => !prefixed.test(serial)),
      fc.boolean(),
      (serial, lower) => {
        const spelled = lower ? serial.toLowerCase() : serial
        return cleanSerial(spelled) === spelled
      }
    ),
    { numRuns: 5_000 }
  )
})

t.test('a filler stays one with any punctuation and case, and cleaning twice is cleaning once', async () => {
  const noise = fc.constantFrom('', '.', '-', '_', '*', '/')
  fc.assert(
    fc.property(
      fc.constantFrom('defaultstring', 'invalid', 'systemserialnumber', 'notspecified', '1234567890', 'xxxxxxxx'),
      fc.array(fc.tuple(noise, fc.boolean()), { minLength: 20, maxLength: 20 }),
      (filler, spelling) => {
        const spelled = [...filler]
          .map(
            (character, at) => `${spelling[at % 20]![1] ? character.toUpperCase() : character}${spelling[at % 20]![0]}`
          )
          .join('')
        return cleanSerial(spelled) === null
      }
    )
  )
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme' }), value => {
      const once = [cleanSerial(value), cleanModel(value), cleanManufacturer(value)]
      const twice = [cleanSerial(once[0]!), cleanModel(once[1]!), cleanManufacturer(once[2]!)]
      return once.every((each, at) => each === twice[at] && (each === null || each === value))
    })
  )
})

t.test('models and manufacturers: fillers are none, names stay', async t => {
  for (const model of [
    'System Product Name',
    'system-product-name',
    'Product Name',
    'System Name',
    'All Series',
    'To Be Filled By O.E.M.',
    'Default string',
    '*',
    'Unknow',
    'x.x',
    'None',
    '00000000'
  ])
    t.equal(cleanModel(model), null, model)
  for (const model of [
    'OptiPlex 7010',
    'HP EliteBook 840 G8 Notebook PC',
    '20XW004AUS',
    'Virtual Machine',
    'VMware Virtual Platform',
    'Standard PC (i440FX + PIIX, 1996)',
    'MacBookPro18,3',
    'MS-7B79',
    'PRIME B450M-A',
    'Surface Pro 7',
    'A1'
  ])
    t.equal(cleanModel(model), model)
  for (const maker of ['System manufacturer', 'To be filled by O.E.M.', 'Default string', 'OEM'])
    t.equal(cleanManufacturer(maker), null, maker)
  for (const maker of ['Dell Inc.', 'LENOVO', 'HP', 'LG', 'Micro-Star International Co., Ltd.', 'innotek GmbH'])
    t.equal(cleanManufacturer(maker), maker)
})

t.test('MAC addresses: upper case with colons, once each; what several machines can have is left out', async t => {
  t.strictSame(cleanMacs(['00-1b-21-0a-0b-0c', '001b.210a.0b0c', 'd4:be:d9:11:22:33']), [
    '00:1B:21:0A:0B:0C',
    'D4:BE:D9:11:22:33'
  ])
  const shared = [
    '00:1A:7D:DA:71:0A',
    'F6:12:34:56:78:9A',
    '02:42:ac:11:00:02',
    'FF:FF:FF:FF:FF:FF',
    '00:00:00:00:00:00',
    '01:00:5E:00:00:01',
    '33:50:6F:45:30:30',
    '00:50:56:C0:00:08',
    '00:15:5D:01:02:03',
    '08:00:27:12:34:56',
    '50:50:54:50:30:30',
    '20:41:53:59:4E:FF',
    '30:0F:20:52:41:53',
    '00:FF:AB:CD:EF:01',
    '00:05:9A:3C:7A:00',
    '00:50:B6:11:22:33',
    ...sharedMacs,
    ...Object.keys(sharedMacPrefixes).map(prefix => prefix + '00:11:22:33:44:55:66'.slice(prefix.length))
  ]
  for (const mac of shared) t.strictSame(cleanMacs([mac]), [], mac)
  t.strictSame(cleanMacs(['nonsense', 'aa:bb:cc', '', '00:1B:21:0A:0B', '80:00:02:08:fe:80:00:00:00:00']), [])
})

t.test('an address that a maker gave survives, in every spelling', async () => {
  const makers = ['00:1B:21', 'D4:BE:D9', '3C:52:82', 'A4:BB:6D', '8C:16:45', '54:EE:75', 'F0:18:98', '00:25:90']
  fc.assert(
    fc.property(
      fc.constantFrom(...makers),
      fc.tuple(fc.nat(255), fc.nat(255), fc.nat(255)),
      fc.constantFrom(':', '-', '', '.'),
      fc.boolean(),
      (maker, rest, separator, lower) => {
        const mac = [maker, ...rest.map(byte => byte.toString(16).padStart(2, '0').toUpperCase())].join(':')
        fc.pre(!mac.endsWith(':20:52:41:53'))
        const spelled = mac.replaceAll(':', separator)
        return cleanMacs([lower ? spelled.toLowerCase() : spelled])[0] === mac && isOwnMac(mac)
      }
    )
  )
})
