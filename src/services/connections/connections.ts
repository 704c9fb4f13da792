import { withTimeLimit } from '../../waits.ts'
import { randomBytes, randomUUID } from 'node:crypto'
import { ConflictError, NotFoundError, ValidationError } from '../../errors.ts'
import type { RmmProvider } from '../../providers/define.ts'
import type { Rmm } from '../../rmm.ts'
import type { Connection, CreateConnection, NewEvent, UpdateConnection } from '../../types.ts'
import { changedFields, fieldChanges, scheduleOf } from './changed-fields.ts'
import {
  accountOf,
  callProvider,
  checkAgainst,
  checkConfig,
  type ClientFactory,
  type OpenClient,
  openSecrets,
  seal,
  sealSecrets,
  toRouteError
} from '../platform/index.ts'
import type { Core } from '../core.ts'
import { newHookSecret, type Registration } from '../inbound/index.ts'
import { isElsewhere, requireNew, requireSameDestination } from './places.ts'
import { contextOf } from '../sync/index.ts'
import { defaultSchedule, mergeSchedule } from '../model/index.ts'
import {
  type ConnectionRow,
  disconnect,
  findConnection,
  holdConnection,
  insertConnection,
  leaveFormerPlatform,
  listConnections,
  nudgeListener,
  purge,
  requireConnection,
  setStatus,
  updateConnection,
  writeActivity,
  writeChanges,
  writeEvents
} from '../store/index.ts'

interface Checked {
  account: string
  warnings: string[]
  /** Gives what logging in brought to the connection that is stored with these values. */
  keep: OpenClient['keep']
}

function nameOf(name: string | undefined, fallback: string): string {
  const trimmed = name?.trim().toWellFormed().replaceAll('\0', '') ?? fallback
  if (trimmed === '' || trimmed.length > 200) throw new ValidationError('name must be 1 to 200 characters')
  return trimmed
}

export function createConnections(
  core: Core,
  clients: ClientFactory,
  { register, unregister }: Registration,
  onRemoved: (connectionId: string) => void
): Rmm['connections'] {
  const { database, registry } = core
  const { t } = database

  /** Asks the platform with these values before anything is stored. */
  async function check(
    provider: RmmProvider,
    connectionId: string,
    config: Record<string, unknown>,
    secrets: Record<string, unknown>,
    row?: ConnectionRow
  ): Promise<Checked> {
    return await withTimeLimit(core.settings.interactiveMs, [core.signal], async signal => {
      try {
        const how = { atOnce: true, ...(row === undefined ? {} : { row }) }
        const open = await clients.openWith(provider, connectionId, config, secrets, signal, how)
        try {
          const found = await callProvider(provider, 'check', signal, () => open.provider.check(open.client, signal))
          return { ...accountOf(provider, found), keep: open.keep }
        } finally {
          await open.close()
        }
      } catch (error) {
        throw toRouteError(error, 'check')
      }
    })
  }

  /** A log-in that is lost is made again. */
  async function keepSession(tenantId: string, id: string, keep: OpenClient['keep']) {
    try {
      await keep(await requireConnection(database, tenantId, id))
    } catch (error) {
      core.log.warn({ err: error, connectionId: id }, 'what logging in brought could not be kept')
    }
  }

  async function read(tenantId: string, id: string) {
    const connection = await findConnection(database, tenantId, id)
    if (connection === null) throw new NotFoundError('Connection')
    return withLive(connection)
  }

  /** One whose platform pushes, and to which nobody has listened yet. */
  function withLive(connection: Connection): Connection {
    const pushes = connection.status !== 'disconnected' && registry.get(connection.provider)?.listen !== undefined
    return pushes && connection.live === null ? { ...connection, live: { since: null, lastError: null } } : connection
  }

  async function create(tenantId: string, input: CreateConnection) {
    const id = randomUUID()
    return await connect(tenantId, id, input).catch(error => {
      clients.forget(id)
      throw error
    })
  }

  async function connect(tenantId: string, id: string, input: CreateConnection) {
    const provider = await registry.require(input.provider, tenantId)
    const config = checkConfig(provider, input.config)
    const secrets = checkAgainst(provider.secretSchema, input.secrets, 'secrets')
    const schedule = mergeSchedule(defaultSchedule, input.schedule)
    const name = nameOf(input.name, provider.name)
    const { account, warnings, keep } = await check(provider, id, config, secrets)
    const hookKey = randomBytes(16).toString('base64url')
    const hookSecret = provider.webhook ? newHookSecret() : null
    const owner = { tenant_id: tenantId, id }
    const sealedSecrets = await sealSecrets(core, owner, secrets, config)
    const sealedHookSecret = hookSecret === null ? null : await seal(core, 'hook', owner, hookSecret)
    await database.transaction(async trx => {
      if (input.allowDuplicate !== true) await requireNew(trx, t, { tenantId, provider, config, account })
      await insertConnection(trx, t, {
        id,
        tenantId,
        provider: provider.id,
        name,
        config,
        sealedSecrets,
        account,
        movePolicy: input.movePolicy ?? 'follow',
        hookKey,
        sealedHookSecret,
        schedule
      })
      await writeEvents(
        trx,
        t,
        { tenantId, connectionId: id, provider: provider.id },
        [{ type: 'INTEGRATION_CONNECTED', payload: { name, account } }],
        core.sinks
      )
      await writeActivity(trx, t, tenantId, {
        type: 'INTEGRATION_CONNECTED',
        target: { connectionId: id },
        summary: `Connected "${name}" (${provider.name}, ${account})`
      })
    })
    await keepSession(tenantId, id, keep)
    const set = hookSecret === null ? null : await register(await requireConnection(database, tenantId, id), hookSecret)
    return {
      connection: await read(tenantId, id),
      webhook:
        hookSecret === null
          ? null
          : { url: core.hooksUrl === null ? null : core.hooksUrl + hookKey, secret: hookSecret, ...set },
      warnings: set?.message ? [...warnings, set.message] : warnings
    }
  }

  /** The stored values with the change in them, after the platform has accepted them. */
  async function checkedValues(row: ConnectionRow, provider: RmmProvider, change: UpdateConnection) {
    const config =
      change.config === undefined
        ? checkAgainst(provider.configSchema, row.config, 'config')
        : checkConfig(provider, change.config)
    const values = async (secrets: Record<string, unknown>) => {
      const { account, keep } = await check(provider, row.id, config, secrets)
      return { config, account, keep, checkedAt: row.revision }
    }
    if (change.secrets === undefined) {
      requireSameDestination(provider, row.config, config)
      return await values(await openSecrets(core, row))
    }
    const secrets = checkAgainst(provider.secretSchema, change.secrets, 'secrets')
    return { ...(await values(secrets)), sealedSecrets: await sealSecrets(core, row, secrets, config) }
  }

  async function update(tenantId: string, id: string, change: UpdateConnection) {
    const row = await requireConnection(database, tenantId, id)
    // What asks nothing of the platform stays possible where the host has switched the provider off.
    const asks = change.config !== undefined || change.secrets !== undefined
    const provider = asks ? await registry.require(row.provider, tenantId) : null
    const name = change.name === undefined ? {} : { name: nameOf(change.name, row.name) }
    const schedule = change.schedule === undefined ? {} : { schedule: mergeSchedule(scheduleOf(row), change.schedule) }
    const movePolicy = change.movePolicy === undefined ? {} : { movePolicy: change.movePolicy }
    const values = provider === null ? null : await checkedValues(row, provider, change)
    const { keep, ...checked } = values ?? {}
    const patch = { ...name, ...schedule, ...movePolicy, ...checked }
    const changed = changedFields(row, patch)
    const reconnected = row.status === 'disconnected' && values !== null
    await database.transaction(async trx => {
      await holdConnection(trx, t, id)
      // What was checked belongs together: half of it beside somebody else's half would be another connection.
      if (!(await updateConnection(trx, t, id, patch)))
        throw new ConflictError(
          'Config or secrets of this connection were changed by somebody else meanwhile; look at it again, and repeat'
        )
      const elsewhere = provider !== null && values !== null && isElsewhere(provider, row.config, values.config)
      if (
        provider !== null &&
        values !== null &&
        (elsewhere || reconnected || values.account !== row.account) &&
        !change.allowDuplicate
      )
        await requireNew(trx, t, { tenantId, provider, config: values.config, account: values.account }, id)
      if (elsewhere) await leaveFormerPlatform(trx, t, id)
      const events: NewEvent[] = [
        ...(reconnected
          ? [
              {
                type: 'INTEGRATION_CONNECTED' as const,
                payload: { name: patch.name ?? row.name, account: values?.account ?? row.account }
              }
            ]
          : []),
        ...(changed.length > 0
          ? [
              {
                type: 'RMM_CONNECTION_CHANGED' as const,
                payload: { name: patch.name ?? row.name, changedFields: changed }
              }
            ]
          : [])
      ]
      if (changed.length > 0)
        await writeChanges(trx, t, contextOf(core, row, { cause: 'operator', runId: null }), [
          {
            entity: 'connection',
            entityId: id,
            externalId: null,
            displayName: patch.name ?? row.name,
            kind: 'update',
            changed: fieldChanges(row, patch, changed)
          }
        ])
      await writeEvents(trx, t, source(row), events, core.sinks)
      for (const { type } of events)
        await writeActivity(trx, t, tenantId, {
          type,
          target: { connectionId: id },
          summary:
            type === 'INTEGRATION_CONNECTED'
              ? `Connected "${row.name}" again`
              : `Changed the connection "${row.name}": ${changed.join(', ')}`
        })
    })
    if (keep !== undefined) await keepSession(tenantId, id, keep)
    return await read(tenantId, id)
  }

  async function test(tenantId: string, id: string) {
    const row = await requireConnection(database, tenantId, id)
    const provider = await registry.require(row.provider, tenantId)
    try {
      const { account, warnings } = await check(provider, id, row.config, await openSecrets(core, row), row)
      await setStatus(database, row, 'connected', null)
      await nudgeListener(database.db, t, id)
      return { ok: true as const, account, checkedAt: core.now().toISOString(), warnings }
    } catch (error) {
      if ((error as { code?: string }).code === 'RMM_ERR_CONNECTION_CHECK')
        await setStatus(database, row, 'error', (error as Error).message)
      throw error
    }
  }

  async function remove(tenantId: string, id: string, mode: 'keep' | 'purge' = 'keep') {
    const row = await requireConnection(database, tenantId, id)
    await unregister(row)
    await database.transaction(async trx => {
      await holdConnection(trx, t, id)
      if (mode === 'purge') await purge(trx, t, id)
      else await disconnect(trx, t, id)
      if (row.status !== 'disconnected' || mode === 'purge') {
        await writeEvents(
          trx,
          t,
          source(row),
          [{ type: 'INTEGRATION_DISCONNECTED', payload: { name: row.name, mode } }],
          core.sinks
        )
        await writeActivity(trx, t, tenantId, {
          type: 'INTEGRATION_DISCONNECTED',
          target: { connectionId: id },
          summary:
            mode === 'purge'
              ? `Disconnected "${row.name}" and removed everything of it`
              : `Disconnected "${row.name}"; its secrets were removed`
        })
      }
    })
    clients.forget(id)
    onRemoved(id)
  }

  return {
    create,
    update,
    test,
    remove,
    get: read,
    async list(tenantId, query) {
      const list = await listConnections(database, tenantId, query)
      return { ...list, items: list.items.map(withLive) }
    }
  }
}

function source(row: ConnectionRow) {
  return { tenantId: row.tenant_id, connectionId: row.id, provider: row.provider }
}
