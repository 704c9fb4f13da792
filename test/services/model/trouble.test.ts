import fc from 'fast-check'
import t from 'tap'
import { OnChangesError } from '../../../src/errors.ts'
import { ProviderError } from '../../../src/providers/define.ts'
import { classify } from '../../../src/services/egress/index.ts'
import { troubleError, troubleOf, troubleOfSqlState } from '../../../src/services/model/trouble.ts'

const failed = (code: string) => Object.assign(new Error('as the driver says it'), { code })

/** What every SQLSTATE does to a run and to an answer. */
const table = {
  repeat: ['40001', '40P01', '55P03'],
  interrupt: [
    ...['08000', '08003', '08006', '08001', '08004', '08007', '08P01'],
    ...['53000', '53100', '53200', '53300', '53400'],
    ...['57P01', '57P02', '57P03', '57P04', '57P05'],
    ...['25P03', '28000', '28P01', '3D000', '40003']
  ],
  settings: ['57014', '25006', '25P04'],
  null: [
    '23505',
    '23503',
    '22P02',
    '42P01',
    '42601',
    '42501',
    '40002',
    '57000',
    '57P',
    '5310',
    'XX000',
    '00000',
    '55006',
    ''
  ]
}

t.test('every SQLSTATE has one meaning', async t => {
  for (const [kind, codes] of Object.entries(table))
    for (const code of codes) t.equal(String(troubleOfSqlState(code)?.kind ?? null), kind, code)
})

t.test('a whole class means one thing, whatever its last letters are', async t => {
  const ending = fc.string({
    minLength: 3,
    maxLength: 3,
    unit: fc.constantFrom(...'0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ')
  })
  const property = fc.property(fc.constantFrom('08', '53'), ending, (start, end) => {
    t.equal(troubleOfSqlState(start + end)?.kind, 'interrupt')
  })
  fc.assert(property)
})

t.test("trouble that the host's function noticed first is the database's, however deep it is", async t => {
  const property = fc.property(
    fc.constantFrom(...table.repeat, ...table.interrupt, ...table.settings),
    fc.integer({ min: 0, max: 3 }),
    (code, depth) => {
      let error: Error = failed(code)
      for (let n = 0; n < depth; n++) error = Object.assign(new Error('wrapped'), { cause: error })
      const told = Object.assign(new OnChangesError('onChanges of the host failed'), { cause: error })
      t.strictSame(troubleOf(told), troubleOfSqlState(code))
    }
  )
  fc.assert(property)
})

t.test("the host's own network is not the database, and a platform that is away is not either", async t => {
  for (const cause of [failed('ECONNREFUSED'), failed('ECONNRESET'), new Error('the connection ended early')]) {
    t.equal(troubleOf(Object.assign(new OnChangesError('failed'), { cause })), null)
    t.match(classify(new ProviderError('unreachable', 'away', { cause })), { code: 'RMM_ERR_UNREACHABLE' })
  }
  t.equal(troubleOf(failed('ECONNREFUSED'))?.kind, 'interrupt', 'but the driver itself is')
})

t.test('a run is interrupted by what passes, and fails only by a setting that it can tell', async t => {
  for (const code of [...table.repeat, ...table.interrupt]) {
    const trouble = troubleOfSqlState(code)!
    t.match(
      classify(troubleError(trouble, failed(code), {})),
      { kind: 'interrupted', code: 'RMM_ERR_INTERRUPTED' },
      code
    )
    t.match(classify(failed(code)), { kind: 'interrupted' }, code)
  }
  const tell = (code: string, values: Record<string, string>) =>
    troubleError(troubleOfSqlState(code)!, failed(code), values) as Error & { code: string; statusCode: number }
  t.match(tell('40001', {}), { code: 'RMM_ERR_DATABASE_BUSY', statusCode: 503 })
  t.match(tell('53100', {}), { code: 'RMM_ERR_DATABASE_UNAVAILABLE', statusCode: 503, message: /disk space/ })
  const named = tell('57014', { statement_timeout: '150ms' })
  t.match(named, { code: 'RMM_ERR_DATABASE_SETTINGS', statusCode: 503, message: /statement_timeout is 150ms/ })
  t.match(classify(named), {
    kind: 'transient',
    code: 'RMM_ERR_DATABASE_SETTINGS',
    message: /statement_timeout is 150ms/
  })
  t.match(tell('55P03', { lock_timeout: '30ms' }), {
    code: 'RMM_ERR_DATABASE_SETTINGS',
    message: /lock_timeout is 30ms/
  })
  t.match(tell('55P03', { lock_timeout: '0' }), { code: 'RMM_ERR_DATABASE_BUSY' })
  const readOnly = tell('25006', { default_transaction_read_only: 'on', in_hot_standby: 'off' })
  t.match(readOnly, { code: 'RMM_ERR_DATABASE_SETTINGS', message: /default_transaction_read_only is on/ })
  t.match(classify(readOnly), { kind: 'interrupted' }, 'the failure could not even be written down')
})
