import fc from 'fast-check'
import t from 'tap'
import { mapRecords } from '../../src/providers/define.ts'
import * as values from '../../src/providers/values.ts'

/** Runs with the process in that zone, as a server in it would. */
function inZone<T>(zone: string, work: () => T): T {
  const before = process.env['TZ']
  process.env['TZ'] = zone
  try {
    return work()
  } finally {
    if (before === undefined) delete process.env['TZ']
    else process.env['TZ'] = before
  }
}

const zones = ['UTC', 'America/New_York', 'Asia/Kolkata', 'Pacific/Auckland']

t.test('a time has its zone or is UTC, whatever the zone of the process', async t => {
  const times: Array<[told: string, meant: string]> = [
    ['2026-11-20T10:00:00Z', '2026-11-20T10:00:00.000Z'],
    ['2026-11-20T10:00:00', '2026-11-20T10:00:00.000Z'],
    ['2026-11-20 10:00', '2026-11-20T10:00:00.000Z'],
    ['2026-11-20', '2026-11-20T00:00:00.000Z'],
    ['2026/11/20 10:00:00', '2026-11-20T10:00:00.000Z'],
    ['2026/1/2', '2026-01-02T00:00:00.000Z'],
    ['2026-11-20T10:00:00.123456+02:00', '2026-11-20T08:00:00.123Z'],
    ['2026-11-20T10:00:00-0530', '2026-11-20T15:30:00.000Z'],
    ['2026-11-20 10:00:00 UTC', '2026-11-20T10:00:00.000Z'],
    ['Fri, 20 Nov 2026 10:00:00 GMT', '2026-11-20T10:00:00.000Z'],
    ['20 Nov 2026 10:00:00 +0100', '2026-11-20T09:00:00.000Z']
  ]
  for (const zone of zones)
    inZone(zone, () => {
      for (const [told, meant] of times) t.equal(values.time(told)?.toISOString(), meant, `${told} in ${zone}`)
      for (const none of [
        'Fri, 20 Nov 2026 10:00:00',
        'Nov 20, 2026 10:00',
        '11/20/2026',
        '20.11.2026 10:00',
        '2026-02-30',
        '2026-13-01',
        '2026-11-20T25:00:00Z',
        'yesterday',
        '1795324543000',
        1795324543000,
        true,
        {}
      ]) {
        const heard: unknown[] = []
        t.equal(
          values.time(none, value => heard.push(value)),
          undefined,
          `${String(none)} in ${zone}`
        )
        t.strictSame(heard, [none])
      }
    })
  for (const never of ['0001-01-01T00:00:00Z', '1970-01-01', null, '']) t.equal(values.time(never), null)
  t.equal(values.time(undefined), undefined)
  t.equal(values.time(1795324543.5, undefined, { epoch: 's' })?.toISOString(), '2026-11-22T05:15:43.500Z')
  t.equal(values.time('1795324543000', undefined, { epoch: 'ms' })?.getTime(), 1795324543000)
  t.equal(values.time(0, undefined, { epoch: 's' }), null)
})

t.test('what JSON has of a time comes back as it was', async () => {
  fc.assert(
    fc.property(
      fc.date({ min: new Date('1980-01-01'), max: new Date('9999-12-31'), noInvalidDate: true }),
      fc.constantFrom(...zones),
      (date, zone) => inZone(zone, () => values.time(date.toISOString())?.getTime() === date.getTime())
    )
  )
})

t.test('three answers: a value, told that there is none, not told', async t => {
  t.equal(values.text(' a\0b '), 'ab')
  for (const none of [null, '', '  ']) t.equal(values.text(none), null)
  for (const untold of [undefined, 42, true, {}, ['a']]) t.equal(values.text(untold), undefined)
  t.equal(values.text(7.5, undefined, { numbers: true }), '7.5')
  t.equal(values.text('a\r\nb\u0007', undefined, { line: true }), 'a b')
  t.equal(values.text('x'.repeat(5_000), undefined, { line: true })?.length, 255)
  for (const [told, read] of [
    [5, 5],
    ['17179869184', 17179869184],
    [7.6, 8],
    [0, 0],
    [null, null],
    [undefined, undefined],
    [-1, undefined],
    ['many', undefined],
    [Number.NaN, undefined],
    [1e300, undefined],
    [true, undefined]
  ])
    t.equal(values.integer(told), read, String(told))
  t.equal(values.integer(5000, undefined, { max: 4096 }), undefined)
  t.equal(values.seconds('90.9'), 90)
  t.equal(values.seconds(-5), undefined)
  t.equal(values.boolean(false), false)
  t.equal(values.boolean('yes'), undefined)
  for (const [told, read] of [
    [4711, '4711'],
    [12n, '12'],
    ['a=', 'a='],
    [null, null],
    [' ', undefined],
    [1.5, undefined],
    [{ id: 1 }, undefined],
    [2 ** 60, undefined]
  ])
    t.equal(values.id(told), read, String(told))
  t.strictSame(values.list(['a', null, 3, 'b'], values.text), ['a', 'b'])
  t.equal(values.list('a', values.text), undefined)
  t.equal(values.list(null, values.text), null)
  t.equal(values.oneOf('ServER', { server: 1, workstation: 2 }), 1)
  t.equal(values.oneOf('up', ['up', 'down']), 'up')
  t.equal(values.oneOf('constructor', { up: 1 }), undefined)
  t.equal(values.oneOf('', ['up']), null)
})

t.test('a reader notes what it cannot read by the path of the field, once per field and page', async t => {
  const rows = [
    { id: 1, name: 5, net: { ip: [1, 'x'] }, cpus: [{ cores: 'many' }, 7] },
    { id: 2, name: 6, net: 'none', cpus: 'none' },
    { id: 3, name: 'fine', net: null }
  ]
  const { records, misread } = mapRecords(
    rows,
    row => row.id,
    (row, note) => {
      const read = values.of(row, note)
      return {
        name: read.text('name'),
        ip: read.object('net').list('ip'),
        cores: read.objects('cpus')?.map(cpu => cpu.integer('cores'))
      }
    }
  )
  t.strictSame(records, [
    { name: undefined, ip: ['x'], cores: [undefined] },
    { name: undefined, ip: undefined, cores: undefined },
    { name: 'fine', ip: undefined, cores: undefined }
  ])
  t.strictSame(misread, [
    { field: 'name', count: 2, example: '5', externalId: 1 },
    { field: 'net.ip', count: 1, example: '1', externalId: 1 },
    { field: 'cpus', count: 2, example: '7', externalId: 1 },
    { field: 'cpus.cores', count: 1, example: '"many"', externalId: 1 },
    { field: 'net', count: 1, example: '"none"', externalId: 2 }
  ])
})

t.test('any JSON is read without throwing, and by no reader as another type', async () => {
  fc.assert(
    fc.property(fc.anything({ withBigInt: true, withDate: true }), value => {
      const read = values.of({ it: value }, () => {})
      const is = (told: unknown, type: string) => told === null || told === undefined || typeof told === type
      return (
        is(read.text('it'), 'string') &&
        is(read.id('it'), 'string') &&
        is(read.integer('it'), 'number') &&
        is(read.seconds('it'), 'number') &&
        is(read.boolean('it'), 'boolean') &&
        (read.time('it') ?? new Date()) instanceof Date &&
        Array.isArray(read.list('it') ?? []) &&
        Array.isArray(read.objects('it') ?? []) &&
        is(read.oneOf('it', ['a']), 'string') &&
        typeof read.object('it').raw === 'object'
      )
    })
  )
})
