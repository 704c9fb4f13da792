import type { EntityManager } from '@mikro-orm/core'
import type { Consent } from './providers/define.ts'
import type {
  Activity,
  ActivityFilter,
  Actor,
  Alert,
  AlertFilter,
  Change,
  ChangeFilter,
  Client,
  Connection,
  ConnectionTest,
  CountedQuery,
  CreateConnection,
  CreatedConnection,
  Delivery,
  Device,
  DeviceDetail,
  DeviceFilter,
  DeviceGroupEnsured,
  DeviceGroupStatus,
  DeviceGroupSync,
  DeviceSyncResult,
  Erased,
  HandOverRequest,
  Health,
  List,
  MappingChange,
  MappingMode,
  MappingSuggestion,
  Organization,
  PageQuery,
  ProcessHealth,
  ProviderInfo,
  Resealed,
  RmmEvent,
  RmmEventType,
  Run,
  RunFilter,
  RunItem,
  SecretsUsage,
  SinkLag,
  SyncRequest,
  UpdateConnection,
  WebhookInfo,
  WebhookSecret
} from './types.ts'

/** `app.rmm`: every call takes the tenant first; what belongs to another tenant is "not found". */
export interface Rmm {
  /**
   * The same services with this person behind every call: stored with what they do, and told in its events.
   * Throws `RMM_ERR_ACTOR` where it is no actor.
   */
  as(actor: Pick<Actor, 'id'> & { name?: string | null }): Rmm
  /**
   * What waits, is late or failed, of one tenant; without a tenant over all of them, with the duties of this process.
   * A few counts per call: ask every some seconds at most.
   */
  health(tenantId: string): Promise<Health>
  health(): Promise<ProcessHealth>
  /** About all tenants, for whoever runs the host. */
  secrets: {
    /** Which keys the stored secrets need, and whether the secret box has them. Opens a few values of each. */
    usage(): Promise<SecretsUsage>
    /**
     * Finishes a rotation of keys: seals anew what the current key did not seal. Safe beside running processes, and to
     * be repeated. `plan` only counts.
     */
    reseal(options?: { plan?: boolean; signal?: AbortSignal }): Promise<Resealed>
  }
  providers: {
    list(tenantId: string): Promise<ProviderInfo[]>
  }
  connections: {
    list(tenantId: string, query?: CountedQuery & { provider?: string }): Promise<List<Connection>>
    /** Checked live before anything is stored. Throws `RMM_ERR_CONNECTION_CHECK` with the platform's hint. */
    create(tenantId: string, input: CreateConnection): Promise<CreatedConnection>
    get(tenantId: string, id: string): Promise<Connection>
    update(tenantId: string, id: string, change: UpdateConnection): Promise<Connection>
    test(tenantId: string, id: string): Promise<ConnectionTest>
    remove(tenantId: string, id: string, mode?: 'keep' | 'purge'): Promise<void>
  }
  organizations: {
    list(tenantId: string, connectionId: string, query?: CountedQuery): Promise<List<Organization>>
    update(tenantId: string, connectionId: string, organizationId: string, change: MappingChange): Promise<Organization>
    /** All or none. */
    map(
      tenantId: string,
      connectionId: string,
      mappings: Array<{ organizationId: string; mode: MappingMode; clientRef?: string | null }>
    ): Promise<{ items: Organization[] }>
    /** Clients that were merged: mappings, device groups and devices of `from` go over to `to`. */
    move(
      tenantId: string,
      connectionId: string,
      clients: { from: string; to: string }
    ): Promise<{ organizations: number; devices: number }>
    suggestions(tenantId: string, connectionId: string, query?: PageQuery): Promise<List<MappingSuggestion>>
    clients(tenantId: string, query?: PageQuery & { q?: string }): Promise<List<Client>>
  }
  sync: {
    start(tenantId: string, connectionId: string, request?: SyncRequest): Promise<{ run: Run; deduplicated: boolean }>
    device(tenantId: string, connectionId: string, externalId: string): Promise<DeviceSyncResult>
    /**
     * Does what a plan found, as far as it is still true. `only` and `except` are ids of its changes; those of one device
     * go together. Throws `RMM_ERR_PLAN_EXPIRED` after 24 hours, `RMM_ERR_CONFLICT` where the run is no plan, or was
     * applied, or another run of the connection is under way.
     */
    apply(tenantId: string, planId: string, request?: { only?: string[]; except?: string[] }): Promise<{ run: Run }>
    /**
     * Gives known, living devices of mapped clients and their active alerts to `onChanges` again, as `handover`: a run
     * that asks the platform nothing. Throws `RMM_ERR_CONFLICT` while another run of the connection is under way.
     */
    handOver(tenantId: string, connectionId: string, input?: HandOverRequest): Promise<{ run: Run }>
    runs(tenantId: string, connectionId: string, query?: CountedQuery): Promise<List<Run>>
    /** Over all connections of the tenant, newest first. */
    allRuns(tenantId: string, query?: CountedQuery & RunFilter): Promise<List<Run>>
    get(tenantId: string, runId: string): Promise<Run>
    items(
      tenantId: string,
      runId: string,
      query?: CountedQuery & { outcome?: RunItem['outcome'] }
    ): Promise<List<RunItem>>
    cancel(tenantId: string, runId: string): Promise<Run>
    /** Yields the run whenever it changed, and ends with its final state. */
    watch(tenantId: string, runId: string, signal: AbortSignal): AsyncIterable<Run>
    /** Resolves with the run once it has ended (succeeded, partial, failed or cancelled). */
    settled(tenantId: string, runId: string, signal?: AbortSignal): Promise<Run>
  }
  /** The change log: what happened to which record, with the values before and after. */
  changes: {
    /** What a run did or a plan would do; also takes the `runId` of a mapping change, which has no run. */
    ofRun(tenantId: string, runId: string, query?: CountedQuery & ChangeFilter): Promise<List<Change>>
    /** Newest first, down to its making. */
    ofDevice(tenantId: string, deviceId: string, query?: CountedQuery): Promise<List<Change>>
    /** Newest first; `state: 'held'` are those that wait for a person. */
    list(tenantId: string, connectionId: string, query?: CountedQuery & ChangeFilter): Promise<List<Change>>
  }
  inventory: {
    list(tenantId: string, query?: CountedQuery & DeviceFilter): Promise<List<Device>>
    get(tenantId: string, deviceId: string): Promise<DeviceDetail>
    /**
     * The host has deleted these assets: their links go, and the next full sync hands the devices over again. Inside the
     * host's transaction where `em` has one open. Resolves with how many links there were.
     */
    release(tenantId: string, assetRefs: string[], options?: { em?: EntityManager }): Promise<number>
    /**
     * Deletes what is stored of one device, or of all devices of a client, removed ones too: their alerts, patches,
     * history, deliveries, entries of runs and of the activity log, and the events that tell of them, sent or not. Tells
     * `onChanges` of those that were living as `removed`, and everybody else with `RMM_DATA_ERASED`, which names ids only.
     * Asked again it does nothing. What the platform still has comes back with the next read: take it away there, or
     * exclude its group, first. Mappings and device groups of a client stay.
     */
    erase(tenantId: string, target: { deviceId: string } | { clientRef: string }): Promise<Erased>
    remoteSession(
      tenantId: string,
      deviceId: string,
      options?: { minutes?: number; viewOnly?: boolean; consent?: Consent }
    ): Promise<{ url: string; expiresAt: string }>
  }
  alerts: {
    list(tenantId: string, query?: CountedQuery & AlertFilter): Promise<List<Alert>>
    resolve(tenantId: string, alertId: string): Promise<Alert>
  }
  deviceGroups: {
    syncAll(
      tenantId: string,
      connectionId: string,
      options?: { dryRun?: boolean; rename?: boolean }
    ): Promise<DeviceGroupSync>
    ensure(tenantId: string, connectionId: string, clientRef: string): Promise<DeviceGroupEnsured>
    /**
     * A person's word that these groups are these clients', above everything the ladder would find. All or none: an
     * unknown group or client is "not found", one that another client of the directory holds is `RMM_ERR_CONFLICT`.
     */
    assign(
      tenantId: string,
      connectionId: string,
      links: ReadonlyArray<{ clientRef: string; groupId: string }>,
      options?: { dryRun?: boolean }
    ): Promise<DeviceGroupSync>
    /** The group's name on the platform is right: it is no drift any more. */
    acceptName(tenantId: string, connectionId: string, clientRef: string): Promise<DeviceGroupEnsured>
    status(tenantId: string, connectionId: string): Promise<DeviceGroupStatus>
    installLink(
      tenantId: string,
      connectionId: string,
      clientRef: string,
      options?: { hours?: number }
    ): Promise<{ url: string; expiresAt: string }>
  }
  webhooks: {
    /**
     * Stores one inbound request after its proof; throws `RMM_ERR_WEBHOOK_REFUSED` alike for an unknown key and a bad
     * signature.
     */
    accept(
      hookKey: string,
      request: { headers: Record<string, string | undefined>; rawBody: Buffer }
    ): Promise<{ duplicate: boolean; ignored: boolean }>
    info(tenantId: string, connectionId: string): Promise<WebhookInfo>
    rotate(tenantId: string, connectionId: string, options?: { graceMinutes?: number }): Promise<WebhookSecret>
    deliveries(tenantId: string, connectionId: string, query?: CountedQuery): Promise<List<Delivery>>
    replay(tenantId: string, deliveryId: string): Promise<Delivery>
    /** Deliveries of all tenants that wait, the age of the oldest, and how many were given up; for metrics. */
    backlog(): Promise<{ pending: number; oldestAgeMs: number | null; dead: number }>
  }
  /** Who did what: connections, mappings, syncs, device groups, links, alerts; newest first. */
  activity: {
    list(tenantId: string, query?: CountedQuery & ActivityFilter): Promise<List<Activity>>
  }
  events: {
    /** In-process subscription, fed from the outbox after commit. Returns the unsubscribe function. */
    on<T extends RmmEventType>(type: T | '*', listener: (event: RmmEvent<T>) => void | Promise<void>): () => void
    /** What waits for each sink, over all tenants, also for those that were taken away. */
    lag(): Promise<SinkLag[]>
    /**
     * Forgets what waits for a sink that is not coming back, and the sink; tells how many events that were. Throws
     * `RMM_ERR_CONFLICT` while a process serves it, `RMM_ERR_NOT_FOUND` where nothing is known of it.
     */
    drop(sink: string): Promise<{ events: number }>
  }
}
