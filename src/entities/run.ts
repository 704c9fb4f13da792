import { defineEntity, type EntitySchema, PrimaryKeyProp } from '@mikro-orm/core'
import type { Actor, ResourceName, Run, RunKind, RunStatus, RunTotals, RunTrigger, SyncMode } from '../types.ts'
import {
  belongsTo,
  bigint,
  bool,
  type Columns,
  generatedId,
  int,
  json,
  oneOf,
  sequence,
  text,
  texts,
  time,
  uuid
} from './columns.ts'
import { RmmConnectionSchema } from './connection.ts'

/** One recorded execution of a sync. */
export class RmmRun {
  declare id: string
  declare tenantId: string
  declare connectionId: string
  declare provider: string
  declare kind: RunKind
  declare actor: Actor | null
  declare trigger: RunTrigger
  declare resources: ResourceName[]
  declare mode: SyncMode
  declare force: boolean
  declare transport: string
  declare status: RunStatus
  declare attempt: number
  declare failures: number
  declare waits: number
  declare deaths: number
  declare fence: number
  declare worker: string | null
  declare leaseUntil: Date | null
  declare notBefore: Date | null
  declare cancelRequestedAt: Date | null
  declare progress: Run['progress']
  declare totals: Partial<RunTotals>
  declare summary: string | null
  declare error: NonNullable<Run['error']> | null
  declare continuedFrom: Date | null
  /** What a run other than a sync is to do, and how far it is. */
  declare request: Record<string, unknown> | null
  /** What a plan found. */
  declare result: Record<string, unknown> | null
  declare queuedAt: Date
  declare startedAt: Date | null
  declare finishedAt: Date | null
  declare updatedAt: Date
}

export const RmmRunSchema: EntitySchema<RmmRun> = defineEntity({
  class: RmmRun,
  tableName: 'rmm_run',
  schema: '*',
  properties: {
    id: generatedId(),
    tenantId: text('tenant_id'),
    connectionId: belongsTo(RmmConnectionSchema, 'rmm_run', 'connection_id'),
    provider: text('provider'),
    kind: oneOf('kind', ['sync', 'plan', 'apply', 'handover', 'undo']).default('sync'),
    actor: json<Actor>('actor').nullable(),
    trigger: oneOf('trigger', ['manual', 'schedule', 'webhook', 'startup']),
    resources: json<ResourceName[]>('resources'),
    mode: oneOf('mode', ['full', 'incremental']),
    force: bool('force').default(false),
    transport: text('transport'),
    status: oneOf('status', [
      'queued',
      'running',
      'succeeded',
      'partial',
      'failed',
      'interrupted',
      'cancelled'
    ]).default('queued'),
    attempt: int('attempt').default(0),
    failures: int('failures').default(0),
    waits: int('waits').default(0),
    deaths: int('deaths').default(0),
    fence: bigint('fence').defaultRaw('0'),
    worker: text('worker').nullable(),
    leaseUntil: time('lease_until').nullable(),
    notBefore: time('not_before').nullable(),
    cancelRequestedAt: time('cancel_requested_at').nullable(),
    progress: json<Run['progress']>('progress').defaultRaw("'[]'"),
    totals: json<Partial<RunTotals>>('totals').defaultRaw("'{}'"),
    summary: text('summary').nullable(),
    error: json<NonNullable<Run['error']>>('error').nullable(),
    continuedFrom: time('continued_from').nullable(),
    request: json<Record<string, unknown>>('request').nullable(),
    result: json<Record<string, unknown>>('result').nullable(),
    queuedAt: time('queued_at').defaultRaw('now()'),
    startedAt: time('started_at').nullable(),
    finishedAt: time('finished_at').nullable(),
    updatedAt: time('updated_at').defaultRaw('now()')
  } satisfies Columns<RmmRun>,
  uniques: [
    {
      name: 'rmm_run_active_unique',
      properties: ['connectionId'],
      where: "status in ('queued', 'running', 'interrupted')"
    }
  ],
  indexes: [
    { name: 'rmm_run_tenant_list', properties: ['tenantId', 'queuedAt', 'id'] },
    { name: 'rmm_run_list', properties: ['connectionId', 'queuedAt', 'id'] },
    { name: 'rmm_run_open', properties: ['queuedAt'], where: "status in ('queued', 'running', 'interrupted')" },
    { name: 'rmm_run_old', properties: ['finishedAt'], where: 'finished_at is not null' }
  ]
})

/** A record of a run that could not be taken as it came, and why. */
export class RmmRunItem {
  declare id: number
  declare tenantId: string
  declare connectionId: string
  declare runId: string
  declare resource: string
  declare externalId: string | null
  declare outcome: 'failed' | 'held' | 'ambiguous' | 'skipped'
  /** For a field that could not be read: an example of what came. */
  declare reason: string
  declare field: string | null
  /** How often `field` came so. */
  declare count: number | null
  declare createdAt: Date
}

export const RmmRunItemSchema: EntitySchema<RmmRunItem> = defineEntity({
  class: RmmRunItem,
  tableName: 'rmm_run_item',
  schema: '*',
  properties: {
    id: sequence('id').primary(),
    tenantId: text('tenant_id'),
    connectionId: uuid('connection_id'),
    runId: belongsTo(RmmRunSchema, 'rmm_run_item', 'run_id'),
    resource: text('resource'),
    externalId: text('external_id').nullable(),
    outcome: oneOf('outcome', ['failed', 'held', 'ambiguous', 'skipped']),
    reason: text('reason'),
    field: text('field').nullable(),
    count: int('count').nullable(),
    createdAt: time('created_at').defaultRaw('now()')
  } satisfies Columns<RmmRunItem>,
  uniques: [
    {
      name: 'rmm_run_item_field_unique',
      properties: ['runId', 'resource', 'field'],
      where: 'field is not null'
    }
  ],
  indexes: [{ name: 'rmm_run_item_run', properties: ['runId', 'id'] }]
})

/** One read of one resource from its first to its last page; it may span several runs. */
export class RmmPass {
  declare id: string
  declare connectionId: string
  declare resource: string
  declare tenantId: string
  declare runId: string | null
  declare mode: SyncMode
  declare startedAt: Date
  declare checkpoint: unknown
  declare complete: boolean
  declare pages: number
  /** The read before this one, which was doubted: what it showed counts as well. */
  declare doubtedId: string | null
  /** What speaks for and against the list, as far as it was read. */
  declare notes: Record<string, unknown>
  /** What complete reads did not show, with the end of the first of them. */
  declare missed: Array<[externalId: string, since: string]>
  /** The passes of the last complete read. */
  declare knownIds: string[]
  declare updatedAt: Date
  declare [PrimaryKeyProp]?: ['connectionId', 'resource']
}

export const RmmPassSchema: EntitySchema<RmmPass> = defineEntity({
  class: RmmPass,
  tableName: 'rmm_pass',
  schema: '*',
  properties: {
    id: uuid('id'),
    connectionId: belongsTo(RmmConnectionSchema, 'rmm_pass', 'connection_id').primary(),
    resource: text('resource').primary(),
    tenantId: text('tenant_id'),
    runId: uuid('run_id').nullable(),
    mode: oneOf('mode', ['full', 'incremental']),
    startedAt: time('started_at'),
    checkpoint: json<unknown>('checkpoint').nullable(),
    complete: bool('complete').default(false),
    pages: int('pages').default(0),
    doubtedId: uuid('doubted_id').nullable(),
    notes: json<Record<string, unknown>>('notes').defaultRaw("'{}'"),
    missed: json<Array<[string, string]>>('missed').defaultRaw("'[]'"),
    knownIds: json<string[]>('known_ids').defaultRaw("'[]'"),
    updatedAt: time('updated_at').defaultRaw('now()')
  } satisfies Columns<RmmPass>
})

/** What one page of a pass saw. */
export class RmmPage {
  declare id: number
  declare tenantId: string
  declare connectionId: string
  declare passId: string
  declare resource: string
  declare observedAt: Date
  declare seen: string[]
  declare refs: string[] | null
  declare createdAt: Date
}

export const RmmPageSchema: EntitySchema<RmmPage> = defineEntity({
  class: RmmPage,
  tableName: 'rmm_page',
  schema: '*',
  properties: {
    id: sequence('id').primary(),
    tenantId: text('tenant_id'),
    connectionId: belongsTo(RmmConnectionSchema, 'rmm_page', 'connection_id'),
    passId: uuid('pass_id'),
    resource: text('resource'),
    observedAt: time('observed_at'),
    seen: texts('seen'),
    refs: texts('refs').nullable(),
    createdAt: time('created_at').defaultRaw('now()')
  } satisfies Columns<RmmPage>,
  indexes: [
    { name: 'rmm_page_pass', properties: ['passId'] },
    { name: 'rmm_page_observed', properties: ['connectionId', 'resource', 'observedAt'] },
    { name: 'rmm_page_old', properties: ['createdAt'] }
  ]
})
