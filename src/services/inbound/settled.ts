import type { Core } from '../core.ts'
import { publishDelivery } from '../diagnostics.ts'
import { judgeDelivery } from '../model/index.ts'
import type { ConnectionRow, Settled } from '../store/index.ts'
import type { Known } from './batch.ts'

/** Settles deliveries of which everything is known, and tells of it. */
export async function settle(
  core: Core,
  connection: ConnectionRow,
  known: readonly Known[],
  write: (settled: Settled[]) => Promise<void>
): Promise<void> {
  if (known.length === 0) return
  const settled = known.map(toSettled)
  await write(settled)
  for (const [n, { row }] of known.entries()) {
    const { status, tried } = settled[n]!
    if (status === 'pending' && !tried) continue
    publishDelivery(() => ({
      phase: 'settled',
      connectionId: connection.id,
      tenantId: connection.tenant_id,
      provider: connection.provider,
      eventType: row.event_type,
      outcome: status === 'pending' ? 'retried' : status,
      attempts: Number(row.attempts) + Number(tried)
    }))
  }
  const dead = settled.filter(({ status }) => status === 'dead')
  if (dead.length > 0)
    core.log.error(
      { connectionId: connection.id, dead: dead.length, reason: dead[0]!.error },
      'deliveries were given up; they can be replayed'
    )
}

function toSettled({ row, parts }: Known): Settled {
  const { reason, status, ...verdict } = judgeDelivery(parts, {
    failures: Number(row.failures),
    ageMs: Number(row.age_ms)
  })
  const nothing = row.refused === null ? 'ignored' : 'unusable'
  return { ...verdict, id: row.id, error: reason, status: parts.size === 0 ? nothing : status }
}
