// Counts the test points of TAP files: `node .ci/tally.mjs a.tap b.tap`.
// Prints every failure with its diagnostics and every reason to skip, then `N passed, N failed, N skipped`; exits 1 when something failed or
// nothing was counted. A summary line of a subtest is not a test point of its own, unless it failed while everything in it passed.
import { readFileSync } from 'node:fs'
import { pathToFileURL } from 'node:url'

const point = /^(\s*)(not )?ok \d+\b/

export function tally(text) {
  const counts = { passed: 0, failed: 0, skipped: 0, failures: [], reasons: new Map() }
  // For every depth with points below it since its last own point: how many failures there were before those.
  const below = new Map()
  const open = []
  let yaml = null
  let failing = null

  const fail = line => {
    counts.failed++
    failing = { line: line.trim(), details: [] }
    counts.failures.push(failing)
  }
  const skip = reason => {
    counts.skipped++
    counts.reasons.set(reason, (counts.reasons.get(reason) ?? 0) + 1)
  }
  /** What was seen below this depth ends here. */
  const close = depth => {
    const block = below.get(depth)
    for (const known of [...below.keys()]) if (known >= depth) below.delete(known)
    return block
  }

  for (const line of text.split('\n')) {
    const depth = line.length - line.trimStart().length
    if (yaml !== null) {
      if (line.trim() === '...' && depth === yaml) yaml = null
      else failing?.details.push(line)
      continue
    }
    if (line.trim() === '---') {
      yaml = depth
      continue
    }
    if (line.trim() === '}' && open.at(-1)?.depth === depth) {
      const block = open.pop()
      close(depth)
      if (block.bad && counts.failed === block.failed) fail(block.line)
      continue
    }
    const match = point.exec(line)
    if (match === null) continue
    failing = null
    for (let above = 0; above < depth; above += 1) if (!below.has(above)) below.set(above, { failed: counts.failed })
    const inner = close(depth)
    const bad = match[2] !== undefined
    const directive = /#\s*(SKIP|TODO)\b\s*(.*?)(?:\s*# time=.*)?$/i.exec(line)
    if (line.trimEnd().endsWith('{')) open.push({ depth, bad: bad && directive === null, failed: counts.failed, line })
    else if (directive !== null) skip(directive[2] || directive[1])
    else if (inner !== undefined) {
      if (bad && inner.failed === counts.failed) fail(line)
    } else if (bad) fail(line)
    else counts.passed++
  }
  return counts
}

export const sentence = ({ passed, failed, skipped }) => `${passed} passed, ${failed} failed, ${skipped} skipped`

function main(files) {
  const total = { passed: 0, failed: 0, skipped: 0 }
  for (const file of files) {
    const counts = tally(readFileSync(file, 'utf8'))
    for (const key of Object.keys(total)) total[key] += counts[key]
    console.log(`${file}: ${sentence(counts)}`)
    for (const [reason, times] of counts.reasons) console.log(`  skipped ${times}: ${reason}`)
    for (const { line, details } of counts.failures)
      console.log(
        [`  ${line}`, ...details.slice(0, 40).map(detail => `    ${detail}`)].map(text => text.slice(0, 240)).join('\n')
      )
  }
  console.log(sentence(total))
  if (total.failed > 0 || total.passed === 0) process.exitCode = 1
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) main(process.argv.slice(2))
