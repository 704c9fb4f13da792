import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fuzzDocument } from './document.ts'
import { away, home, startFuzzHost } from './host.ts'
import { fuzz, installSchemathesis } from './schemathesis.ts'
import { watchAnswers } from './watch.ts'

/**
 * Fuzzes every route by its own OpenAPI document, as an administrator, as a technician and as a viewer of another
 * tenant: no answer is a 5xx, each is as documented, and none holds what is another tenant's. Without Python it says so
 * and ends well. Usage: node test/fuzz/run.ts [seconds [seed]]
 */
const seconds = Number(process.argv[2] ?? 60)
const seed = Number(process.argv[3] ?? 14)

const found = installSchemathesis()
if ('missing' in found) {
  console.log(`fuzzing is skipped: ${found.missing}`)
  process.exit(0)
}
const host = await startFuzzHost()
const { findings, answered } = watchAnswers(host)
const folder = mkdtempSync(join(tmpdir(), 'rmm-fuzz-'))
const document = join(folder, 'openapi.json')
const known = Object.fromEntries(
  Object.keys(host.ids[home]!).map(name => [name, [home, away].flatMap(tenant => host.ids[tenant]![name]!.slice(0, 5))])
)
writeFileSync(document, JSON.stringify(fuzzDocument(host.app.swagger(), known)))

let good = true
try {
  for (const [name, token, share] of [
    ['a viewer of the other tenant', host.tokens.viewer, 0.25],
    ['a technician', host.tokens.technician, 0.3],
    ['an administrator', host.tokens.admin, 0.45]
  ] as const) {
    console.log(`\nAs ${name}, seed ${seed}:`)
    // Without connections nothing but 404 would be left to find.
    const without = ['rmmRemoveConnection']
    const at = { document, url: host.url, token, seed, seconds: Math.ceil(seconds * share), without }
    good = (await fuzz(found.command, at)) && good
  }
} finally {
  await host.close()
  rmSync(folder, { recursive: true, force: true })
}
console.log(
  `\nAnswers: ${[...answered]
    .sort(([a], [b]) => a - b)
    .map(([status, count]) => `${count} × ${status}`)
    .join(', ')}`
)
for (const { what, request, answer } of findings.slice(0, 20)) console.log(`\n${what}\n  ${request}\n  ${answer}`)
if (findings.length > 0) console.log(`\n${findings.length} answers that must never be given`)
process.exit(good && findings.length === 0 ? 0 : 1)
