/** One JSON frame of the control channel. */
export type Frame = Record<string, unknown>

/** A request of ours; `responseid` and `tag` are added when it is sent. */
export interface Command extends Frame {
  action: string
}

interface Pending {
  command: Command
  resolve(reply: Frame): void
  reject(error: Error): void
}

/** Requests whose reply carries neither `responseid` nor `tag`: told apart by node, or by order. */
const unmarked = new Map<string, 'node' | 'order'>([
  ['getnetworkinfo', 'node'],
  ['lastconnect', 'node'],
  ['pong', 'order']
])
const replyNames = new Map([['ping', 'pong']])

function queueKey(action: string, nodeid: unknown): string | null {
  const how = unmarked.get(action)
  if (how === undefined) return null
  return how === 'node' ? `${action}|${String(nodeid)}` : action
}

/**
 * Finds the request that a frame answers. The server echoes `responseid` for some actions, only `tag`, only `nodeid` or
 * nothing for others, sometimes under another action's name, and not in the order of the requests.
 */
export class Correlator {
  private readonly byId = new Map<string, Pending>()
  private readonly queues = new Map<string, string[]>()

  add(id: string, pending: Pending): void {
    this.byId.set(id, pending)
    const key = this.keyOf(pending.command)
    if (key !== null) this.queues.set(key, [...(this.queues.get(key) ?? []), id])
  }

  /** Forgets a request, e.g. after its time-out; a reply that comes later is ignored. */
  drop(id: string): Pending | undefined {
    const pending = this.byId.get(id)
    if (pending === undefined) return undefined
    this.byId.delete(id)
    const key = this.keyOf(pending.command)
    if (key !== null) {
      const rest = this.queues.get(key)?.filter(other => other !== id) ?? []
      if (rest.length === 0) this.queues.delete(key)
      else this.queues.set(key, rest)
    }
    return pending
  }

  /** True where the frame was the answer to a request. */
  settle(frame: Frame): boolean {
    const id = this.find(frame)
    const pending = id === undefined ? undefined : this.drop(id)
    pending?.resolve(frame)
    return pending !== undefined
  }

  rejectAll(error: Error): void {
    const all = [...this.byId.values()]
    this.byId.clear()
    this.queues.clear()
    for (const pending of all) pending.reject(error)
  }

  private keyOf(command: Command): string | null {
    return queueKey(replyNames.get(command.action) ?? command.action, command['nodeid'])
  }

  private find(frame: Frame): string | undefined {
    for (const mark of [frame['responseid'], frame['tag']]) {
      if (typeof mark === 'string') return this.byId.has(mark) ? mark : undefined
    }
    const key = typeof frame['action'] === 'string' ? queueKey(frame['action'], frame['nodeid']) : null
    return key === null ? undefined : this.queues.get(key)?.[0]
  }
}
