import t from 'tap'
import { resolveTransport } from '../../src/transports/resolve.ts'

/** Where a transport can be asked for, strongest first. */
const sources = ['LEVELIO_SYNC_TRANSPORT', 'RMM_SYNC_TRANSPORT', 'option'] as const
const all = ['direct', 'postgres', 'temporal']

t.test('the first place that names a transport decides, over every combination of places', async t => {
  const names = [undefined, '', ...all]
  let combinations = 0
  for (const own of names) {
    for (const shared of names) {
      for (const option of names) {
        const asked = [own, shared, option].find(name => name !== undefined && name !== '')
        const env = { LEVELIO_SYNC_TRANSPORT: own, RMM_SYNC_TRANSPORT: shared }
        for (const given of option === undefined
          ? [undefined, {}, { meshcentral: 'direct' }]
          : [option, { levelio: option, meshcentral: 'direct' }]) {
          combinations++
          const resolved = resolveTransport('levelio', all, given, env)
          if (resolved !== (asked ?? 'temporal'))
            t.fail(`${JSON.stringify({ ...env, option: given })} gave ${resolved}`)
        }
      }
    }
  }
  t.equal(combinations, 5 * 5 * (3 + 4 * 2))
})

t.test('where nothing is asked for, what is registered decides: temporal, then postgres, then direct', async t => {
  const table: Array<[string[], string]> = [
    [['direct'], 'direct'],
    [['direct', 'postgres'], 'postgres'],
    [['direct', 'temporal'], 'temporal'],
    [['direct', 'postgres', 'temporal'], 'temporal'],
    [['direct', 'temporal', 'postgres'], 'temporal'],
    [['direct', 'of-the-host'], 'direct'],
    [['direct', 'of-the-host', 'postgres'], 'postgres']
  ]
  for (const [registered, expected] of table)
    t.equal(resolveTransport('levelio', registered, undefined, {}), expected, registered.join())
})

t.test(
  'a transport that is not registered is refused wherever it is asked for, and nothing weaker is taken instead',
  async t => {
    for (const source of sources) {
      for (const name of ['temporal', 'postgres', 'Direct', 'bullmq']) {
        const env =
          source === 'option'
            ? {}
            : { [source]: name, ...(source === 'LEVELIO_SYNC_TRANSPORT' ? { RMM_SYNC_TRANSPORT: 'direct' } : {}) }
        t.throws(
          () => resolveTransport('levelio', ['direct'], source === 'option' ? name : 'direct', env),
          { code: 'RMM_ERR_OPTION', message: `'${name}', which is not registered (direct)` },
          `${source}=${name}`
        )
      }
    }
  }
)

t.test('a weaker place may name what is not registered while a stronger one decides', async t => {
  t.equal(resolveTransport('levelio', ['direct'], 'temporal', { RMM_SYNC_TRANSPORT: 'direct' }), 'direct')
  t.equal(
    resolveTransport('levelio', ['direct', 'postgres'], undefined, {
      LEVELIO_SYNC_TRANSPORT: 'postgres',
      RMM_SYNC_TRANSPORT: 'temporal'
    }),
    'postgres'
  )
})

t.test("a provider's own variable and option are its own", async t => {
  const env = { MESHCENTRAL_SYNC_TRANSPORT: 'postgres' }
  t.equal(resolveTransport('meshcentral', all, undefined, env), 'postgres')
  t.equal(resolveTransport('levelio', all, undefined, env), 'temporal')
  t.equal(resolveTransport('levelio', all, { levelio: 'direct', meshcentral: 'postgres' }, {}), 'direct')
  t.equal(resolveTransport('meshcentral', all, { levelio: 'direct' }, {}), 'temporal')
})
