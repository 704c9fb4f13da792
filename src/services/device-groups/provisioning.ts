import type { Core } from '../core.ts'
import type { DeviceGroupsService } from './device-groups.ts'
import { connectedTo, type ConnectionRow } from '../store/index.ts'

/** Connections whose groups are looked after at the same time, in this process. */
const atOnce = 4

/** Keeps every client's group in place without being asked: when the process starts, and before each scheduled sync. */
export interface Provisioning {
  /** Begins with every connection that can have groups; returns at once. */
  start(): void
  /**
   * Syncs the groups of one connection, then `done` is called, also where it failed (that is logged). Returns at
   * once; false where the provider makes no groups. While another process is at it, `done` is not called.
   */
  before(row: ConnectionRow, done: () => Promise<void>): boolean
  /** Resolves when nothing is under way any more; what is under way ends soon after `core.signal`. */
  stop(): Promise<void>
}

export function createProvisioning(core: Core, deviceGroups: DeviceGroupsService): Provisioning {
  const providers = core.registry.ids().filter(id => core.registry.get(id)?.deviceGroups !== undefined)
  const queue: Array<{ row: ConnectionRow; done: () => Promise<void> }> = []
  const known = new Set<string>()
  const workers = new Set<Promise<void>>()

  async function one({ row, done }: (typeof queue)[number]): Promise<void> {
    try {
      const result = await deviceGroups.background(row)
      if (result === null) return
      if (!result.success)
        core.log.warn(
          { connectionId: row.id, conflicts: result.conflicts, failed: result.failed },
          `device groups: ${result.message}`
        )
    } catch (error) {
      if (!core.signal.aborted)
        core.log.warn(
          { err: error, connectionId: row.id },
          'the device groups could not be synced; the next scheduled sync tries again'
        )
    }
    if (!core.signal.aborted)
      await done().catch(error =>
        core.log.warn({ err: error, connectionId: row.id }, 'the sync after the device groups could not be started')
      )
  }

  async function work(): Promise<void> {
    for (let next = queue.shift(); next !== undefined && !core.signal.aborted; next = queue.shift()) {
      await one(next)
      known.delete(next.row.id)
    }
  }

  function enqueue(row: ConnectionRow, done: () => Promise<void>): void {
    // One that takes longer than until it is due again is not begun twice.
    if (known.has(row.id)) return
    known.add(row.id)
    queue.push({ row, done })
    if (workers.size >= atOnce) return
    const worker: Promise<void> = work().finally(() => workers.delete(worker))
    workers.add(worker)
  }

  async function all(): Promise<void> {
    const rows = providers.length === 0 ? [] : await connectedTo(core.database, providers)
    for (const row of rows) enqueue(row, async () => {})
  }

  return {
    start() {
      const begun: Promise<void> = all()
        .catch(error => core.log.warn({ err: error }, 'the device groups could not be synced at the start'))
        .finally(() => workers.delete(begun))
      workers.add(begun)
    },
    before(row, done) {
      if (!providers.includes(row.provider)) return false
      enqueue(row, done)
      return true
    },
    async stop() {
      await Promise.all(workers)
    }
  }
}
