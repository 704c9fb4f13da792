import t from 'tap'
import type { RmmProvider } from '../../src/providers/define.ts'
import { level } from '../../src/providers/level/index.ts'
import { meshcentral } from '../../src/providers/meshcentral/index.ts'
import { guardProvider } from '../../src/services/platform/door.ts'

/** Members that take no client: they need no guard, and get none. */
const withoutClient = new Set([
  'ca',
  'hosts',
  'migrateConfig',
  'open',
  'sanitizeName',
  'webhook.parse',
  'webhook.verify'
])
const door = {
  redact: (text: string) => text,
  redactNamed: (text: string) => text,
  trouble: () => null,
  passes: async () => {}
}

function functionsOf(value: object, at = ''): Array<[string, unknown]> {
  return Object.entries(value).flatMap(([name, member]): Array<[string, unknown]> => {
    const path = at === '' ? name : `${at}.${name}`
    if (typeof member === 'function') return [[path, member]]
    const inner = typeof member === 'object' && member !== null && !Array.isArray(member) && !/Schema$/.test(name)
    return inner ? functionsOf(member, path) : []
  })
}

const at = (value: unknown, path: string): unknown => path.split('.').reduce<any>((inner, name) => inner?.[name], value)

t.test('every function of a provider that takes a client is called with the real one', async t => {
  for (const provider of [level(), meshcentral()] as RmmProvider[]) {
    const guarded = guardProvider(provider, {}, door as never)
    const functions = functionsOf(provider)
    t.ok(functions.length > 5, `${provider.id}: ${functions.length} functions`)
    t.strictSame(
      functions
        .map(([path]) => path)
        .filter(path => !withoutClient.has(path) && !withoutClient.has(path.split('.').at(-1)!))
        .filter(path => at(guarded, path) === at(provider, path)),
      [],
      `${provider.id}: none gets the handle that stands for a client`
    )
  }
})
