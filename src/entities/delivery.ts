import { defineEntity, type EntitySchema, type PrimaryKeyProp } from '@mikro-orm/core'
import { belongsTo, type Columns, generatedId, int, json, oneOf, sequence, text, texts, time, uuid } from './columns.ts'
import type { Actor } from '../types.ts'
import { RmmConnectionSchema } from './connection.ts'

/** A webhook as it came in. */
export class RmmDelivery {
  declare id: string
  declare tenantId: string
  declare connectionId: string
  declare eventId: string
  declare eventType: string
  declare occurredAt: Date | null
  declare hints: unknown[]
  declare alert: Record<string, unknown> | null
  declare body: unknown
  declare status: 'pending' | 'done' | 'ignored' | 'unusable' | 'dead'
  declare attempts: number
  declare nextAttemptAt: Date
  declare lastError: string | null
  declare receivedAt: Date
  declare processedAt: Date | null
  /** Subjects that are not done (`devices|42`); null: none of it was tried. */
  declare open: string[] | null
  /** Those of them that fail, and are tried again alone. */
  declare waitsFor: string[]
  /** Failures of its own subjects. */
  declare failures: number
  /** What of it could not be used, and why. */
  declare refused: string | null
  /** When it came, or was replayed. */
  declare waitingSince: Date
  /** Who works on it. */
  declare claim: string | null
}

export const RmmDeliverySchema: EntitySchema<RmmDelivery> = defineEntity({
  class: RmmDelivery,
  tableName: 'rmm_delivery',
  schema: '*',
  properties: {
    id: generatedId(),
    tenantId: text('tenant_id'),
    connectionId: belongsTo(RmmConnectionSchema, 'rmm_delivery', 'connection_id'),
    eventId: text('event_id'),
    eventType: text('event_type'),
    occurredAt: time('occurred_at').nullable(),
    hints: json<unknown[]>('hints').defaultRaw("'[]'"),
    alert: json<Record<string, unknown>>('alert').nullable(),
    body: json<unknown>('body'),
    status: oneOf('status', ['pending', 'done', 'ignored', 'unusable', 'dead']).default('pending'),
    attempts: int('attempts').default(0),
    nextAttemptAt: time('next_attempt_at').defaultRaw('now()'),
    lastError: text('last_error').nullable(),
    receivedAt: time('received_at').defaultRaw('now()'),
    processedAt: time('processed_at').nullable(),
    open: texts('open').nullable(),
    waitsFor: texts('waits_for').defaultRaw("'{}'"),
    failures: int('failures').default(0),
    refused: text('refused').nullable(),
    waitingSince: time('waiting_since').defaultRaw('now()'),
    claim: uuid('claim').nullable()
  } satisfies Columns<RmmDelivery>,
  uniques: [{ name: 'rmm_delivery_event_unique', properties: ['connectionId', 'eventId'] }],
  indexes: [
    { name: 'rmm_delivery_list', properties: ['connectionId', 'receivedAt', 'id'] },
    { name: 'rmm_delivery_pending', properties: ['connectionId', 'nextAttemptAt'], where: "status = 'pending'" },
    {
      name: 'rmm_delivery_waits',
      properties: ['connectionId'],
      where: "status = 'pending' and waits_for <> '{}'"
    },
    { name: 'rmm_delivery_dead', properties: ['tenantId'], where: "status = 'dead'" },
    { name: 'rmm_delivery_old', properties: ['receivedAt'], where: "status <> 'pending'" }
  ]
})

/** A device, an alert or a list that failed alone; `platform`: the platform itself, while it is down. */
export class RmmInboxSubject {
  declare connectionId: string
  declare tenantId: string
  declare subject: string
  declare failures: number
  declare nextAt: Date
  declare lastError: string | null
  declare [PrimaryKeyProp]?: ['connectionId', 'subject']
}

export const RmmInboxSubjectSchema: EntitySchema<RmmInboxSubject> = defineEntity({
  class: RmmInboxSubject,
  tableName: 'rmm_inbox_subject',
  schema: '*',
  properties: {
    connectionId: belongsTo(RmmConnectionSchema, 'rmm_inbox_subject', 'connection_id').primary(),
    tenantId: text('tenant_id'),
    subject: text('subject').primary(),
    failures: int('failures'),
    nextAt: time('next_at'),
    lastError: text('last_error').nullable()
  } satisfies Columns<RmmInboxSubject>
})

/** The process that listens to the pushes of a connection's platform, or tries to. */
export class RmmListener {
  declare connectionId: string
  declare tenantId: string
  declare worker: string
  /** Since when pushes arrive; null: they do not. */
  declare since: Date | null
  declare lastError: string | null
  /** When the platform was seen to answer meanwhile. */
  declare nudgedAt: Date | null
}

export const RmmListenerSchema: EntitySchema<RmmListener> = defineEntity({
  class: RmmListener,
  tableName: 'rmm_listener',
  schema: '*',
  properties: {
    connectionId: belongsTo(RmmConnectionSchema, 'rmm_listener', 'connection_id').primary(),
    tenantId: text('tenant_id'),
    worker: text('worker'),
    since: time('since').nullable(),
    lastError: text('last_error').nullable(),
    nudgedAt: time('nudged_at').nullable()
  } satisfies Columns<RmmListener>
})

/** An event on its way to the sinks. */
export class RmmOutbox {
  declare seq: number
  declare id: string
  declare tenantId: string
  declare connectionId: string
  declare provider: string
  declare type: string
  declare payload: Record<string, unknown>
  declare pending: string[]
  declare eventKey: string | null
  declare occurredAt: Date
  declare publishedAt: Date | null
  declare actor: Actor | null
}

export const RmmOutboxSchema: EntitySchema<RmmOutbox> = defineEntity({
  class: RmmOutbox,
  tableName: 'rmm_outbox',
  schema: '*',
  properties: {
    seq: sequence('seq').primary(),
    id: uuid('id').defaultRaw('gen_random_uuid()'),
    tenantId: text('tenant_id'),
    connectionId: uuid('connection_id'),
    provider: text('provider'),
    type: text('type'),
    payload: json<Record<string, unknown>>('payload'),
    pending: texts('pending'),
    eventKey: text('event_key').nullable(),
    occurredAt: time('occurred_at').defaultRaw('now()'),
    publishedAt: time('published_at').nullable(),
    actor: json<Actor>('actor').nullable()
  } satisfies Columns<RmmOutbox>,
  uniques: [{ name: 'rmm_outbox_key_unique', properties: ['eventKey'], where: 'event_key is not null' }],
  indexes: [
    { name: 'rmm_outbox_pending', properties: ['pending', 'connectionId', 'seq'], where: 'published_at is null' },
    { name: 'rmm_outbox_published', properties: ['publishedAt'], where: 'published_at is not null' }
  ]
})

/** Where events go, and how that goes. */
export class RmmSink {
  declare name: string
  declare worker: string | null
  declare leaseUntil: Date | null
  declare failures: number
  declare nextAt: Date | null
  declare lastError: string | null
  /** When a process last said that it serves the sink. */
  declare seenAt: Date | null
}

export const RmmSinkSchema: EntitySchema<RmmSink> = defineEntity({
  class: RmmSink,
  tableName: 'rmm_sink',
  schema: '*',
  properties: {
    name: text('name').primary(),
    worker: text('worker').nullable(),
    leaseUntil: time('lease_until').nullable(),
    failures: int('failures').default(0),
    nextAt: time('next_at').nullable(),
    lastError: text('last_error').nullable(),
    seenAt: time('seen_at').nullable()
  } satisfies Columns<RmmSink>
})

/** A connection whose events a sink refused; gone when it takes one. */
export class RmmSinkConnection {
  declare sink: string
  declare connectionId: string
  declare tenantId: string
  declare failures: number
  declare nextAt: Date
  declare lastError: string | null
  declare [PrimaryKeyProp]?: ['sink', 'connectionId']
}

export const RmmSinkConnectionSchema: EntitySchema<RmmSinkConnection> = defineEntity({
  class: RmmSinkConnection,
  tableName: 'rmm_sink_connection',
  schema: '*',
  properties: {
    sink: text('sink').primary(),
    connectionId: uuid('connection_id').primary(),
    tenantId: text('tenant_id'),
    failures: int('failures'),
    nextAt: time('next_at'),
    lastError: text('last_error').nullable()
  } satisfies Columns<RmmSinkConnection>
})
