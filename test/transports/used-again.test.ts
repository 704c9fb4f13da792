import t from 'tap'
import type { SyncTransport } from '../../src/index.ts'
import { postgresTransport } from '../../src/transports/postgres/index.ts'
import { temporalTransport } from '../../src/transports/temporal/index.ts'
import { build, connectLevel, databaseKind, fakeLevel, openOrm, syncNow, testSchema } from '../helper.ts'

const address = process.env['TEMPORAL_ADDRESS']
const kinds = {
  postgres: databaseKind === 'pglite' && 'skipped: TEST_DATABASE_URL not set',
  temporal: address === undefined && 'skipped: TEMPORAL_ADDRESS not set'
}

for (const [kind, skip] of Object.entries(kinds))
  t.test(
    `a ${kind} transport works for the next app after the first has closed, and for one at a time`,
    { skip },
    async t => {
      const schema = testSchema()
      const orm = await openOrm(t, schema)
      const fake = await fakeLevel(t, { devices: 12, groups: 2 })
      const transport: SyncTransport =
        kind === 'postgres'
          ? postgresTransport({ orm, schema: `${schema}_queue`, pollSeconds: 0.5 })
          : temporalTransport({ address: address!, taskQueue: schema })
      const options = { on: { orm, schema }, transports: [transport], transport: kind }
      const first = await build(t, options)
      const id = await connectLevel(first, fake)
      t.match(await syncNow(first, id), { status: 'succeeded', transport: kind })
      await t.rejects(build(t, options), {
        code: 'RMM_ERR_OPTION',
        message: new RegExp(`'${kind}' is the object of another app.*make one for each app`)
      })
      t.match(await syncNow(first, id), { status: 'succeeded' }, 'whom it leaves alone')
      await first.app.close()
      for (const round of ['second', 'third']) {
        const next = await build(t, options)
        t.match(await syncNow(next, id), { status: 'succeeded', transport: kind }, round)
        await next.app.close()
      }
    }
  )
