import type { PageProgress } from '../store/index.ts'

/** "Nothing changed", "nothing mapped" and "nothing came" are three different findings. */
export function summarize({ progress, totals }: Pick<PageProgress, 'progress' | 'totals'>): string {
  const failed =
    totals.failed > 0
      ? ` ${totals.failed} ${totals.failed === 1 ? 'record' : 'records'} failed, see the items of this run.`
      : ''
  const devices = progress.find(item => item.resource === 'devices')
  if (devices === undefined)
    return `${progress.map(item => `${item.processed} ${item.resource}`).join(', ') || 'Nothing'} read.${failed}`
  const { created, updated, removed, unmapped } = totals
  if (devices.processed === 0 && removed === 0) return `Nothing came: the platform listed no devices.${failed}`
  const changes = [
    [created, 'created'],
    [updated, 'updated'],
    [removed, 'removed']
  ]
    .filter(([count]) => count !== 0)
    .map(([count, what]) => `${count} ${what}`)
  if (changes.length === 0 && unmapped > 0 && totals.unchanged === 0)
    return `Nothing mapped: ${unmapped} devices came, but none belongs to an organization that is mapped to a client.${failed}`
  const rest = unmapped > 0 ? ` ${unmapped} devices belong to no mapped client.` : ''
  if (changes.length === 0) return `Nothing changed: ${devices.processed} devices were as stored.${rest}${failed}`
  return `${changes.join(', ')}; ${totals.unchanged} unchanged.${rest}${failed}`
}
