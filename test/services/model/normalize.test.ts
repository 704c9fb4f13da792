import fc from 'fast-check'
import t from 'tap'
import type { AlertRecord, DeviceRecord, OrganizationRecord, UpdateRecord } from '../../../src/providers/define.ts'
import {
  fieldEnd,
  type NormalDevice,
  normalizeAlert,
  normalizeAll,
  normalizeDevice,
  normalizeOrganization,
  normalizeUpdate
} from '../../../src/services/model/index.ts'

/** Anything a provider may hand over, typed or not. */

const now = new Date('2026-11-27T12:00:00Z')
const anything = fc.anything({
  withBigInt: true,
  withDate: true,
  withNullPrototype: true,
  withBoxedValues: true,
  maxDepth: 3,
  key: fc.constantFrom('name', 'totalBytes', 'provider', 'addresses', 'macAddress', 'gateway', '__proto__', 'x')
})
const fields = [
  'displayName',
  'organizationExternalId',
  'assetType',
  'hostname',
  'kind',
  'serialNumber',
  'manufacturer',
  'model',
  'osType',
  'osVersion',
  'lastRebootAt',
  'currentUser',
  'lanIp',
  'wanIp',
  'macAddresses',
  'interfaces',
  'cpuModel',
  'cpuCores',
  'ramBytes',
  'volumes',
  'antivirus',
  'location',
  'tags',
  'maintenanceMode',
  'details',
  'online',
  'lastSeenAt',
  'uptimeSeconds'
]
const facts = (value: fc.Arbitrary<unknown>) =>
  fc.record(Object.fromEntries(fields.map(field => [field, value])), { requiredKeys: [] })
const ids = fc.oneof(
  fc.string({ minLength: 1, maxLength: 20, unit: 'grapheme-ascii' }).filter(text => text.trim() !== ''),
  fc.maxSafeInteger(),
  fc.bigInt()
)
const plausible: fc.Arbitrary<Record<string, unknown>> = fc.record(
  {
    displayName: fc.string(),
    organizationExternalId: fc.option(ids),
    hostname: fc.option(fc.string()),
    serialNumber: fc.option(fc.string()),
    lastRebootAt: fc.option(fc.date()),
    currentUser: fc.option(fc.string()),
    lanIp: fc.option(fc.oneof(fc.ipV4(), fc.ipV6(), fc.string())),
    macAddresses: fc.option(fc.array(fc.string())),
    ramBytes: fc.option(fc.double()),
    tags: fc.option(fc.array(fc.string())),
    maintenanceMode: fc.option(fc.boolean()),
    online: fc.option(fc.boolean()),
    lastSeenAt: fc.option(fc.date())
  },
  { requiredKeys: [] }
)
const devices = fc
  .tuple(ids, fc.oneof(facts(anything), plausible))
  .map(([externalId, rest]) => ({ ...rest, externalId }))

/** What PostgreSQL takes, in the one text that a row travels as. */
function isStorable({ row, externalId, facts, status }: NormalDevice): boolean {
  const all = [row, externalId, ...Object.values(facts).filter(value => typeof value === 'string')]
  return (
    row.split(fieldEnd).length === 24 &&
    !row.includes('\x1e') &&
    all.every(text => text.isWellFormed() && !text.includes('\0')) &&
    (facts.lastRebootAt === null || facts.lastRebootAt <= now.toISOString()) &&
    (status.lastSeenAt === null || status.lastSeenAt <= now) &&
    (facts.details === null || typeof JSON.parse(facts.details) === 'object')
  )
}

t.test('any record becomes one that can be stored, or is rejected with a reason; nothing throws', async () => {
  fc.assert(
    fc.property(fc.array(fc.oneof(devices, anything)), records => {
      const { records: normal, rejected, misread } = normalizeAll(records as DeviceRecord[], now, normalizeDevice)
      return (
        normal.every(isStorable) &&
        rejected.every(({ reason }) => reason.length > 0) &&
        misread.every(({ field, count, example }) => field !== '' && count > 0 && typeof example === 'string') &&
        normal.length + rejected.length <= records.length
      )
    }),
    { numRuns: 500 }
  )
  fc.assert(
    fc.property(
      fc.array(
        fc.record(
          {
            externalId: fc.oneof(ids, anything),
            name: anything,
            status: anything,
            startedAt: anything,
            details: anything,
            parentExternalId: anything,
            deviceExternalId: anything
          },
          { requiredKeys: [] }
        )
      ),
      records => {
        for (const normalize of [normalizeOrganization, normalizeAlert, normalizeUpdate])
          normalizeAll(records as Array<OrganizationRecord & AlertRecord & UpdateRecord>, now, normalize as never)
        return true
      }
    )
  )
})

t.test('a device with an id is never rejected, whatever else it says', async () => {
  fc.assert(
    fc.property(
      devices,
      record => normalizeDevice(record as DeviceRecord, now).externalId === String(record.externalId)
    )
  )
})

/** What a normalized device would be told as. */
function toldAgain({ externalId, organizationExternalId, organizationTold, displayName, facts }: NormalDevice) {
  const given = Object.fromEntries(
    Object.entries(facts).flatMap(([field, value]) => (value === null ? [] : [[field, value === '' ? null : value]]))
  )
  return {
    ...given,
    // An address that is told to be none is believed beside others only.
    ...(facts.lanIp === '' && facts.macAddresses === null && facts.wanIp === null
      ? { interfaces: [{ addresses: ['203.0.113.1'] }], lanIp: undefined }
      : {}),
    externalId,
    displayName,
    ...(organizationTold ? { organizationExternalId } : {}),
    ...(facts.lastRebootAt === null ? {} : { lastRebootAt: new Date(facts.lastRebootAt) }),
    ...(facts.details === null ? {} : { details: JSON.parse(facts.details) }),
    ...(facts.volumes === null ? {} : { volumes: facts.volumes.map(volume => ({ ...volume, freeBytes: null })) })
  } as DeviceRecord
}

t.test('normalizing what was normalized changes nothing', async () => {
  fc.assert(
    fc.property(devices, record => {
      const once = normalizeDevice(record as DeviceRecord, now)
      const twice = normalizeDevice(toldAgain(once), now)
      return once.row === twice.row && once.hash === twice.hash
    }),
    { numRuns: 1000 }
  )
})

t.test('what is of another type than ours is not told: it has the hash of a record without the field', async () => {
  const wrong = fc.oneof(fc.constant(Symbol('s')), fc.func(fc.nat()), fc.constant(Number.NaN), fc.constant(-1n))
  fc.assert(
    fc.property(fc.constantFrom(...fields.filter(field => field !== 'details')), wrong, (field, value) => {
      const bare = normalizeDevice({ externalId: 'a', displayName: 'a' }, now)
      const odd = normalizeDevice({ externalId: 'a', displayName: 'a', [field]: value } as never, now)
      return field === 'organizationExternalId' && value === -1n ? true : odd.hash === bare.hash
    })
  )
})
