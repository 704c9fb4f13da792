import type { ResourceName } from '../../types.ts'
import type { PageProgress, StoredProgress } from '../store/index.ts'

const one = { organizations: 'organization', devices: 'device', updates: 'update', alerts: 'alert' } as const

const counted = (count: number, singular: string): string => `${count} ${singular}${count === 1 ? '' : 's'}`

/** Records that could be taken. */
const taken = ({ processed, failed = 0 }: StoredProgress): number => processed - failed

/**
 * What a run found, in sentences. "Nothing came", "nothing usable", "nothing mapped" and "nothing changed" are different
 * findings.
 */
export function summarize(state: Pick<PageProgress, 'progress' | 'totals'>): string {
  const devices = state.progress.find(item => item.resource === 'devices' && item.status !== 'skipped')
  const sentences = devices === undefined ? [summarizeOthers(state.progress)] : summarizeDevices(state, devices)
  return [...sentences, older(state.progress), failed(state.totals.failed)].filter(text => text !== null).join(' ')
}

function summarizeOthers(progress: StoredProgress[]): string {
  const read = progress.filter(item => item.status !== 'skipped' && item.status !== 'waiting')
  if (read.every(item => item.processed === 0))
    return `Nothing came: the platform listed no ${read.map(item => item.resource).join(' and no ') || 'records'}.`
  if (read.every(item => taken(item) === 0)) return unusable(read.reduce((sum, item) => sum + item.processed, 0))
  return `${read.map(item => counted(taken(item), one[item.resource])).join(', ')} read.`
}

function summarizeDevices({ progress, totals }: Pick<PageProgress, 'progress' | 'totals'>, devices: StoredProgress) {
  const { created, updated, removed, unmapped, unchanged } = totals
  const others = alsoChanged(progress)
  if (devices.processed === 0 && removed === 0) return ['Nothing came: the platform listed no devices.', others]
  if (taken(devices) === 0 && removed === 0) return [unusable(devices.processed), others]
  const changes = Object.entries({ created, updated, removed }).filter(([, count]) => count > 0)
  const { appeared = 0, altered = 0 } = devices
  if (changes.length === 0 && unmapped > 0 && unchanged === 0) return [nothingMapped(unmapped), others]
  const asStored = `${counted(unchanged, 'device')} ${unchanged === 1 ? 'was' : 'were'} as stored.`
  const lead =
    changes.length > 0
      ? `${changes.map(([what, count]) => `${count} ${what}`).join(', ')}; ${unchanged} unchanged.`
      : appeared + altered > 0 || others !== null
        ? asStored
        : `Nothing changed: ${asStored}`
  return [lead, unmapped > 0 ? withoutClient(unmapped, appeared, altered) : null, others]
}

function nothingMapped(count: number): string {
  return count === 1
    ? 'Nothing mapped: 1 device came, but it belongs to no organization that is mapped to a client.'
    : `Nothing mapped: ${count} devices came, but none belongs to an organization that is mapped to a client.`
}

function withoutClient(count: number, appeared: number, altered: number): string {
  const news = [appeared > 0 ? `${appeared} new` : '', altered > 0 ? `${altered} changed` : ''].filter(Boolean)
  const belong = count === 1 ? 'belongs' : 'belong'
  return `${counted(count, 'device')} ${belong} to no mapped client${news.length > 0 ? ` (${news.join(', ')})` : ''}.`
}

function unusable(count: number): string {
  return count === 1 ? 'Nothing usable: 1 record came.' : `Nothing usable: ${count} records came.`
}

/** What else a run changed: it must not look as if nothing had happened. */
function alsoChanged(progress: StoredProgress[]): string | null {
  const what = (resource: ResourceName, count: number): string =>
    resource === 'updates' ? `patch counts of ${counted(count, 'device')}` : counted(count, one[resource])
  const changed = progress.flatMap(item => (item.changed ? what(item.resource, item.changed) : []))
  const moved = progress.reduce((sum, item) => sum + (item.moved ?? 0), 0)
  const sentences = [
    moved > 0 ? `${counted(moved, 'device')} ${moved === 1 ? 'has' : 'have'} another client now.` : '',
    changed.length > 0 ? `Also changed: ${changed.join(', ')}.` : ''
  ].filter(Boolean)
  return sentences.length > 0 ? sentences.join(' ') : null
}

function older(progress: StoredProgress[]): string | null {
  const count = progress.reduce((sum, item) => sum + (item.older ?? 0), 0)
  if (count === 0) return null
  return count === 1
    ? '1 record was older than what is stored and was not taken.'
    : `${count} records were older than what is stored and were not taken.`
}

function failed(count: number): string | null {
  return count === 0 ? null : `${counted(count, 'record')} failed, see the items of this run.`
}
