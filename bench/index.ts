import { parseArgs } from 'node:util'
import { kinds } from './database.ts'
import { deviceGroupsBench } from './device-groups.ts'
import { endToEndBench } from './end-to-end.ts'
import { loopBench } from './loop.ts'
import { growthBench } from './memory.ts'
import { mergeBench } from './merge.ts'
import { meshcentralBench } from './meshcentral.ts'
import { print, type Row } from './report.ts'
import { sinkBench } from './sink.ts'
import { suggestionsBench } from './suggestions.ts'
import { tickBench } from './tick.ts'
import { webhookBench } from './webhook.ts'

/**
 * `npm run bench [-- --quick] [-- --json] [-- --only merge]`. Every figure is a ratio of two things measured in turn
 * in one run, or a count. PGlite is always measured, PostgreSQL where TEST_DATABASE_URL names one.
 */
const {
  values: { quick, json, only }
} = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
    only: { type: 'string' }
  }
})
const benches = {
  merge: mergeBench,
  'end-to-end': endToEndBench,
  loop: loopBench,
  growth: growthBench,
  meshcentral: meshcentralBench,
  webhook: webhookBench,
  'device-groups': deviceGroupsBench,
  sink: sinkBench,
  tick: tickBench,
  suggestions: suggestionsBench
}
const rows: Row[] = []
for (const kind of kinds()) {
  for (const [name, bench] of Object.entries(benches)) {
    if (only !== undefined && only !== name) continue
    const measured = await bench(kind, { quick })
    rows.push(...measured)
    if (!json) print(measured)
  }
}
if (json) console.log(JSON.stringify(rows, null, 2))
