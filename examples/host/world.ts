import { type FakeLevel, levelId, seedLevel, startFakeLevel } from '../../src/testing/index.ts'
import type { Kept } from './settings.ts'

/** How technicians named the top groups in Level; `people.ts` has the same companies as book-keeping spells them. */
const topGroups = [
  'Harbour Dental',
  'Northgate Print & Copy',
  'Elm Street Legal',
  'Muller Engineering',
  'Saint-Étienne Boulangerie',
  "O'Brien Veterinary",
  'Riverside School',
  'Kestrel Logistics',
  'Old Mill Architects',
  'Summit Pharmacies',
  'Juniper',
  'Workshop and loaners',
  'Beacon trial',
  'Fairview (offer)',
  'Orchard'
]
/** `seedLevel` makes blocks of seven groups: one at the top, two sites, four departments. */
const blockSize = 7
const groupId = (index: number) => levelId('Group', 7101 + index)
const deviceId = (index: number) => levelId('Device', 100001 + index)
const devices = 1000
/** Those below the first eleven names. */
const clientGroups = new Set(Array.from({ length: 11 * blockSize }, (_, index) => groupId(index)))

/**
 * A Level account of 1,000 devices in a tree of three levels, in this process, with what real accounts have too:
 * devices whose values have the wrong type, one whose id cannot be one, an update that names no device. At every
 * start after the first the account has lived on a little, always in the same way.
 */
export async function startWorld({ levelKey: apiKey, levelPort: port, starts }: Kept): Promise<FakeLevel> {
  const fake = await startFakeLevel({
    port,
    apiKey,
    // Nobody knows this one: it only takes the place of the well-known default.
    readOnlyKey: `${apiKey}-read-only`,
    latencyMs: 60,
    world: seedLevel({ devices, groups: topGroups.length * blockSize, broken: 6, seed: 7 })
  })
  for (const [block, name] of topGroups.entries()) fake.groups.patch(groupId(block * blockSize), { name })
  fake.devices.set({ id: `Device/${'9'.repeat(600)}`, hostname: 'ID-TOO-LONG', group_id: groupId(0) })
  fake.devices.set({ id: 'Device/\u0007bell', hostname: 'ID-WITH-A-BELL', group_id: groupId(1) })
  fake.updates.set({ name: '2026-11 Cumulative Update (KB5000001)', device_id: '' })
  for (let start = 2; start <= starts; start++) liveOn(fake, start)
  return fake
}

/** What happened in the account between two starts: renamed, moved, replaced, gone, broken down. */
function liveOn(fake: FakeLevel, start: number): void {
  // Each start takes other devices, of groups that belong to a client: changes elsewhere would not be seen in the PSA.
  const alive = (n: number) => {
    for (let step = 0; step < devices; step++) {
      const id = deviceId((start * 370 + n * 37 + step) % devices)
      if (clientGroups.has(fake.devices.get(id)?.group_id ?? '')) return id
    }
    throw new Error('the fake account has no devices left')
  }
  for (const n of [0, 1, 2]) fake.devices.patch(alive(n), { nickname: `Till ${start}-${n + 1}` })
  for (const n of [3, 4]) fake.devices.move(alive(n), groupId(n * blockSize))
  for (const n of [5, 6]) fake.devices.delete(alive(n))
  fake.devices.set({
    id: levelId('Device', 200_000 + start),
    hostname: `HD-NEW-${start}`,
    group_id: groupId(2),
    role: 'workstation',
    platform: 'Windows'
  })
  fake.groups.patch(groupId(2 * blockSize), { name: start % 2 === 0 ? 'Elm Street Legal (City)' : 'Elm Street Legal' })
  fake.alerts.trigger(alive(7), { name: 'Backup failed', severity: 'emergency', description: `Night ${start}` })
  for (const id of fake.alerts
    .ids()
    .filter(id => fake.alerts.get(id)?.is_resolved === false)
    .slice(0, 2))
    fake.alerts.resolve(id)
}
