import { existsSync, readdirSync } from 'node:fs'
import t from 'tap'
import { type ContractWorld, providerContract } from '../../src/testing/index.ts'
import type { RmmProvider } from '../../src/providers/define.ts'

/** What a file of `./worlds` exports: `subject()`, the provider as a host would make it and the world to test it in. */
interface WorldModule {
  subject?(): { provider: RmmProvider; world: ContractWorld } | Promise<{ provider: RmmProvider; world: ContractWorld }>
}

const providers = new URL('../../src/providers/', import.meta.url)
const folders = readdirSync(providers, { withFileTypes: true })
  .filter(entry => entry.isDirectory() && existsSync(new URL(`${entry.name}/index.ts`, providers)))
  .map(entry => entry.name)

t.not(folders.length, 0, 'there are providers on disk')

for (const folder of folders) {
  t.test(`${folder} keeps the provider contract`, async t => {
    const file = new URL(`./worlds/${folder}.ts`, import.meta.url)
    if (!existsSync(file)) return t.fail(`src/providers/${folder} has no world: add test/providers/worlds/${folder}.ts`)
    const { subject } = (await import(file.href)) as WorldModule
    if (!subject) return t.fail(`${folder}.ts must export subject()`)
    for (const { name, skip, run } of providerContract(await subject()))
      await t.test(name, { skip: skip ?? false }, run)
  })
}
