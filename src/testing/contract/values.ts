import assert from 'node:assert/strict'
import { isDeepStrictEqual } from 'node:util'
import type { TSchema } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import type { ResourceName } from '../../types.ts'
import { casesOf } from './cases.ts'
import { recordSchemas } from './record-schemas.ts'
import { expectedOf, read, type Session, show, type Subject } from './session.ts'
import type { ContractCase } from './world.ts'

type AnyRecord = Record<string, unknown>

/** The rules of what is in a record. */
export function valueCases(subject: Subject, name: ResourceName): ContractCase[] {
  const rule = casesOf(subject, 'reading-a-resource', name)
  return [
    rule('every field is of its type, in its range, and known', session => types(subject, name, session)),
    rule('times are of the past', session => times(subject, name, session)),
    rule('references point to records that are there', session => references(subject, name, session)),
    rule('what the world tells of a record comes out of it', session => samples(subject, name, session)),
    ...(name === 'devices' ? [rule('free space fits into its volume', session => volumes(subject, session))] : [])
  ]
}

async function recordsOf(subject: Subject, name: ResourceName, session: Session): Promise<AnyRecord[]> {
  const pages = await read(subject, name, await session.open(), { signal: session.signal })
  return pages.flatMap(page => page.records) as unknown as AnyRecord[]
}

/** The first fault of a value, as a sentence; null where it has none. */
export function faultOf(schema: TSchema, value: unknown): string | null {
  const error = Value.Errors(schema, value).First()
  if (error === undefined) return null
  const field = error.path.slice(1).replaceAll('/', '.')
  return `'${field || 'the record'}' is ${show(error.value).slice(0, 100)}: ${error.message.toLowerCase()}`
}

async function types(subject: Subject, name: ResourceName, session: Session) {
  for (const record of await recordsOf(subject, name, session)) {
    const fault = faultOf(recordSchemas[name], record)
    assert(fault === null, `of ${String(record['externalId'])}, a record of ${name}, ${fault}`)
  }
}

/** A platform's clock may be ahead a little; not by a day. */
const aheadMs = 86_400_000

async function times(subject: Subject, name: ResourceName, session: Session) {
  for (const record of await recordsOf(subject, name, session)) {
    const facts = (record['inventory'] as { facts?: AnyRecord | null } | null | undefined)?.facts ?? {}
    for (const [field, value] of Object.entries({ ...facts, ...record }))
      if (value instanceof Date)
        assert(
          value.getTime() < Date.now() + aheadMs,
          `'${field}' of ${String(record['externalId'])} is ${value.toISOString()}, which is still to come: mind the unit and the zone`
        )
  }
}

const pointers: Record<ResourceName, Array<[field: string, to: ResourceName]>> = {
  organizations: [['parentExternalId', 'organizations']],
  devices: [['organizationExternalId', 'organizations']],
  updates: [['deviceExternalId', 'devices']],
  alerts: [['deviceExternalId', 'devices']]
}

async function references(subject: Subject, name: ResourceName, session: Session) {
  const records = await recordsOf(subject, name, session)
  for (const [field, to] of pointers[name]) {
    if (!subject.provider.resources[to]) continue
    const there = new Set(expectedOf(session, to))
    for (const record of records) {
      const value = record[field]
      if (value === undefined || value === null) continue
      assert(
        there.has(String(value as string)),
        `'${field}' of ${String(record['externalId'])} must be the external id of one of the ${to}, got ${show(value)}`
      )
      assert(
        to !== name || String(value as string) !== String(record['externalId']),
        `'${field}' of ${String(record['externalId'])} points to itself`
      )
    }
    if (name !== 'organizations')
      assert(
        records.some(record => record[field] !== undefined && record[field] !== null),
        `'${field}' is told of no record: without it nothing belongs to anything`
      )
  }
}

async function samples(subject: Subject, name: ResourceName, session: Session) {
  const wanted: Record<string, AnyRecord> = { ...session.world.samples?.[name] }
  const records = new Map(
    (await recordsOf(subject, name, session)).map(record => [String(record['externalId']), record])
  )
  for (const [id, sample] of Object.entries(wanted)) {
    const record = records.get(id)
    assert(record, `${id} must be among the records`)
    const facts = (record['inventory'] as { facts?: AnyRecord | null } | null | undefined)?.facts ?? {}
    for (const [field, value] of Object.entries(sample)) {
      const given = record[field] ?? facts[field] ?? record[field]
      assert(
        isDeepStrictEqual(given, value),
        `'${field}' of ${id} must be ${show(value)}, as the platform tells it, got ${show(given)}`
      )
    }
  }
}

async function volumes(subject: Subject, session: Session) {
  for (const record of await recordsOf(subject, 'devices', session)) {
    const facts = (record['inventory'] as { facts?: AnyRecord | null } | null | undefined)?.facts ?? {}
    const all = (record['volumes'] ?? facts['volumes'] ?? []) as Array<{
      name: string
      totalBytes: number | null
      freeBytes: number | null
    }>
    for (const { name, totalBytes, freeBytes } of all)
      assert(
        totalBytes === null || freeBytes === null || freeBytes <= totalBytes,
        `the volume ${name} of ${String(record['externalId'])} has more free bytes (${freeBytes}) than bytes (${totalBytes})`
      )
  }
}
