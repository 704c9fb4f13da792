import assert from 'node:assert/strict'
import { type DeviceRecord, isRecordId, type KnownRevisions } from '../../providers/define.ts'
import { read, type Session, type Subject } from './session.ts'

/** What counts as the device itself: heartbeat values move by themselves, the inventory is looked at on its own. */
function own({
  inventory: _,
  online: _online,
  lastSeenAt: _lastSeen,
  uptimeSeconds: _uptime,
  ...record
}: DeviceRecord): DeviceRecord {
  return { ...record, volumes: record.volumes?.map(volume => ({ ...volume, freeBytes: null })) }
}

function checkKnown(record: DeviceRecord, before: DeviceRecord, mark: string | undefined) {
  const id = record.externalId
  assert.deepEqual(
    own(record),
    own(before),
    `what ${id} tells outside its inventory must be the same whether the inventory is read or not`
  )
  assert.equal(
    record.inventory == null,
    before.inventory == null,
    `${id} must have an inventory in every read or in none`
  )
  if (record.inventory == null || before.inventory == null) return
  const { revision, facts } = record.inventory
  if (facts === null)
    assert.equal(revision, mark, `facts of ${id} may be left out only where 'known' told their revision`)
  assert(
    facts !== null || mark === before.inventory.revision,
    `facts of ${id} were left out although what is known of it was read at another state`
  )
}

/**
 * The same devices come whether or not the engine knows their inventory; only the facts of what is known may be left
 * out. A provider without inventory has nothing to leave out. The engine knows one device, does not know the next,
 * and knows another state of the third.
 */
export async function knownInventory(subject: Subject, session: Session): Promise<void> {
  const { signal } = session
  const recordsOf = async (known?: KnownRevisions) =>
    (
      await read(subject, 'devices', await session.open(), { signal, ...(known === undefined ? {} : { known }) })
    ).flatMap(page => page.records as DeviceRecord[])
  const whole = await recordsOf()
  for (const { externalId, inventory } of whole)
    assert(inventory?.facts !== null, `nothing is known of ${externalId}: its inventory must be read`)
  const marks = new Map<string, string>()
  for (const [n, { externalId, inventory }] of whole.entries())
    if (inventory && n % 3 !== 1)
      marks.set(String(externalId), n % 3 === 0 ? inventory.revision : `not ${inventory.revision}`)
  const again = await recordsOf(async ids => {
    assert(ids.every(isRecordId), "'known' must be asked with external ids")
    return new Map(ids.flatMap(id => (marks.has(String(id)) ? [[String(id), marks.get(String(id))!]] : [])))
  })
  const before = new Map(whole.map(record => [String(record.externalId), record]))
  assert.deepEqual(
    new Set(again.map(record => String(record.externalId))),
    new Set(before.keys()),
    'a read that is told what is known must give the same devices'
  )
  for (const record of again) {
    const id = String(record.externalId)
    checkKnown(record, before.get(id)!, marks.get(id))
  }
}
