import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import fc from 'fast-check'
import { sql } from 'kysely'
import t, { type Test } from 'tap'
import { openDatabase } from '../../../src/services/store/database.ts'
import { build } from '../../helper.ts'

t.setTimeout(180_000)

/** Platforms that take every key, and note which came and for which host. */
async function platforms(t: Test, count: number) {
  const came: Array<{ key: string; host: string }> = []
  const urls: string[] = []
  for (let n = 0; n < count; n++) {
    const server = createServer((request, response) => {
      came.push({ key: String(request.headers.authorization), host: String(request.headers.host) })
      response.writeHead(200, { 'content-type': 'application/json' }).end('{"data":[],"has_more":false}')
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    t.teardown(() => server.close())
    const { port } = server.address() as AddressInfo
    urls.push(`http://127.0.0.1:${port}`, `http://localhost:${port}`, `http://127.0.0.1:${port}/v2/`)
  }
  return { came, urls }
}

interface Step {
  do: string
  /** Which address. */
  to?: number
}

const place = fc.nat({ max: 8 })
const step = fc.oneof(
  fc.record({ do: fc.constant('move' as const), to: place }),
  fc.record({ do: fc.constant('enter' as const), to: place }),
  fc.record({ do: fc.constant('key' as const) }),
  fc.record({ do: fc.constant('sync' as const) }),
  fc.record({ do: fc.constant('test' as const) }),
  fc.record({ do: fc.constant('rename' as const), to: place }),
  fc.record({ do: fc.constant('disconnect' as const) }),
  // What an administrator of the database, or a restored row, makes of it.
  fc.record({ do: fc.constant('tamper' as const), to: place }),
  fc.record({ do: fc.constant('foreign' as const), to: place })
)
/** Some steps at the same moment, one after the other. */
const story = fc.array(fc.array(step, { minLength: 1, maxLength: 3 }), { minLength: 1, maxLength: 8 })

t.test('whatever is changed, by whom and at which moment: a key arrives only where it was entered for', async t => {
  const { came, urls } = await platforms(t, 3)
  const host = await build(t)
  const { db, t: tables } = await openDatabase(host.orm, host.schema)
  const answers = new Map<string, number>()
  let keys = 0

  async function play(steps: Step[][]) {
    const from = came.length
    const enteredFor = new Map<string, string>()
    const newKey = (to?: string) => {
      const key = `key-${++keys}-of-somebody`
      if (to !== undefined) enteredFor.set(key, new URL(to).host)
      return key
    }
    const { body } = await host.call('t1', 'POST', '/connections', {
      provider: 'levelio',
      config: { baseUrl: urls[0] },
      secrets: { apiKey: newKey(urls[0]) },
      allowDuplicate: true
    })
    const id = body.connection.id as string
    const patch = (payload: object, tenant = 't1') => host.call(tenant, 'PATCH', `/connections/${id}`, payload)
    const act = async ({ do: what, to = 0 }: Step): Promise<{ status: number } | undefined> => {
      const baseUrl = urls[to]!
      if (what === 'move') return await patch({ config: { baseUrl } })
      if (what === 'rename') return await patch({ name: `n${to}`, config: { baseUrl } })
      if (what === 'enter')
        return await patch({ config: { baseUrl }, secrets: { apiKey: newKey(baseUrl) }, allowDuplicate: true })
      if (what === 'key') return await patch({ secrets: { apiKey: newKey() }, allowDuplicate: true })
      if (what === 'foreign') return await patch({ config: { baseUrl }, secrets: { apiKey: newKey() } }, 't2')
      if (what === 'test') return await host.call('t1', 'POST', `/connections/${id}/test`)
      if (what === 'disconnect') return await host.call('t1', 'DELETE', `/connections/${id}`)
      if (what === 'tamper')
        await sql`update ${tables.connection} set config = ${JSON.stringify({ baseUrl })} where id = ${id}`.execute(db)
      const { status, body } = await host.call('t1', 'POST', `/connections/${id}/sync`)
      if (status === 202) await host.app.rmm.sync.settled('t1', body.run.id)
      return { status }
    }
    for (const together of steps)
      for (const [n, answer] of (await Promise.all(together.map(act))).entries()) {
        const name = `${together[n]!.do} ${answer?.status}`
        answers.set(name, (answers.get(name) ?? 0) + 1)
      }
    await act({ do: 'sync' })
    const hostsOf = new Map<string, Set<string>>()
    for (const { key, host } of came.slice(from)) hostsOf.set(key, (hostsOf.get(key) ?? new Set()).add(host))
    for (const [header, hosts] of hostsOf) {
      const meant = [...enteredFor].find(([key]) => header.includes(key))?.[1]
      if (hosts.size > 1 || (meant !== undefined && !hosts.has(meant)))
        throw new Error(`${header} was entered for ${meant ?? 'one host'} and came to ${[...hosts].join(' and ')}`)
    }
    await host.call('t1', 'DELETE', `/connections/${id}?mode=purge`)
  }

  const each = ['move 0', 'move 2', 'move 3', 'foreign 3', 'enter 3', 'key', 'test', 'sync', 'tamper 0', 'disconnect']
  const example = each.map(text => [{ do: text.split(' ')[0]!, to: Number(text.split(' ')[1] ?? 0) }])
  await fc.assert(fc.asyncProperty(story as fc.Arbitrary<Step[][]>, play), { numRuns: 30, examples: [[example]] })
  for (const name of ['move 200', 'move 422', 'enter 200', 'key 200', 'sync 202', 'test 200', 'foreign 404'])
    t.ok(answers.has(name), `the stories had "${name}": ${JSON.stringify(Object.fromEntries(answers))}`)
})
