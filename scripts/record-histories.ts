import { mkdir, writeFile } from 'node:fs/promises'
import { Client, Connection } from '@temporalio/client'
import { historyToJSON } from '@temporalio/common/lib/proto-utils.js'

/**
 * Saves the histories that the replay test holds later versions of the workflows to. Run it against a server on which
 * the conformance suite has run: one history of every way a workflow went, anonymous but for what the suite made up.
 */
const folder = new URL('../test/fixtures/temporal-histories/', import.meta.url)
const connection = await Connection.connect({ address: process.env['TEMPORAL_ADDRESS'] ?? '127.0.0.1:7233' })
const client = new Client({ connection })
await mkdir(folder, { recursive: true })

/** What a history shows: its kind, how it ended, and what happened on the way. */
function shapeOf(types: string[]): string {
  const has = (part: string): boolean => types.some(type => type.includes(part))
  const way = [
    has('TIMER_FIRED') && 'timer',
    types.filter(type => type.endsWith('ACTIVITY_TASK_SCHEDULED')).length > 1 && 'segments',
    has('ACTIVITY_TASK_TIMED_OUT') && 'worker-lost',
    has('CANCEL_REQUESTED') && 'cancelled',
    has('MARKER_RECORDED') && 'settled'
  ]
  return [
    types.at(-1)!.replace('EVENT_TYPE_WORKFLOW_EXECUTION_', '').toLowerCase().replaceAll('_', '-'),
    ...way.filter(part => part !== false)
  ].join('+')
}

function scrub(key: string, value: unknown): unknown {
  if (key === 'identity') return 'worker'
  if (key === 'stackTrace') return ''
  // A worker's own queue is named after it: host, process, and what tells two of them apart.
  return typeof value === 'string' ? value.replace(/^[^:\s]+:\d+:[0-9a-f]{8}/, 'worker') : value
}

const saved = new Set<string>()
for await (const { workflowId, runId, type } of client.workflow.list({ query: "ExecutionStatus != 'Running'" })) {
  const json = historyToJSON(await client.workflow.getHandle(workflowId, runId).fetchHistory())
  // Names of machines and paths on them are nobody's business.
  const history = JSON.parse(json, scrub) as { events: Array<{ eventType: string }> }
  const { events } = history
  const name = `${type}.${shapeOf(events.map(({ eventType }) => eventType))}`
  // Long ones teach nothing that short ones do not.
  if (saved.has(name) || events.length > 80) continue
  saved.add(name)
  await writeFile(new URL(`${name}.json`, folder), `${JSON.stringify(history, null, 1)}\n`)
}
await connection.close()
process.stdout.write(`${[...saved].sort().join('\n')}\n`)
