import { setTimeout as delay } from 'node:timers/promises'
import type { Hint } from '../define.ts'
import type { MeshClient } from './client.ts'
import type { Frame } from './correlate.ts'
import { isId, isObject, readAccount } from './frames.ts'
import { connectedOf } from './map.ts'
import { listNodes } from './nodes.ts'
import type { Session } from './session.ts'

const recheckAtOnce = 500

const deviceEvents = new Map<unknown, Hint['kind']>([
  ['addnode', 'changed'],
  ['changenode', 'changed'],
  ['nodemeshchange', 'changed'],
  ['ifchange', 'changed'],
  ['sysinfohash', 'changed'],
  ['removenode', 'deleted']
])
const groupEvents = new Map<unknown, Hint['kind']>([
  ['createmesh', 'changed'],
  ['meshchange', 'changed'],
  ['deletemesh', 'deleted']
])

/** Collects hints until they are fetched: one per thing, however many pushes there were. */
class HintQueue {
  private hints = new Map<string, Hint>()
  /** Devices whose connection went away, and when that may be told; in the order of that time. */
  private readonly away = new Map<string, number>()
  private wake: (() => void) | null = null
  private readonly debounceMs: number
  private readonly graceMs: number
  private flushAt = Number.POSITIVE_INFINITY

  constructor(debounceMs: number, graceMs: number) {
    this.debounceMs = debounceMs
    this.graceMs = graceMs
  }

  push(hint: Hint): void {
    const key = `${hint.resource} ${hint.externalId}`
    const known = this.hints.get(key)
    // A deleted group also changes the account; that it was deleted says more.
    if (known === undefined || (hint.kind !== 'heartbeat' && known.kind !== 'deleted')) this.hints.set(key, hint)
    if (this.flushAt === Number.POSITIVE_INFINITY) this.flushAt = Date.now() + this.debounceMs
    this.wake?.()
  }

  connected(id: string): void {
    this.away.delete(id)
    this.push({ resource: 'devices', externalId: id, kind: 'heartbeat' })
  }

  disconnected(id: string): void {
    if (!this.away.has(id)) this.away.set(id, Date.now() + this.graceMs)
    this.wake?.()
  }

  /** Resolves with the next batch, or with an empty one as soon as `signal` fires. */
  async next(signal: AbortSignal): Promise<Hint[]> {
    while (!signal.aborted) {
      const now = Date.now()
      for (const [id, due] of this.away) {
        if (due > now) break
        this.connected(id)
      }
      if (this.flushAt <= now) return this.take()
      const [nextAway = Number.POSITIVE_INFINITY] = this.away.values()
      await this.sleep(Math.min(this.flushAt, nextAway) - now, signal)
    }
    return []
  }

  private take(): Hint[] {
    const batch = [...this.hints.values()]
    this.hints = new Map()
    this.flushAt = Number.POSITIVE_INFINITY
    return batch
  }

  private async sleep(ms: number, signal: AbortSignal): Promise<void> {
    await new Promise<void>(resolve => {
      const timer = Number.isFinite(ms) ? setTimeout(done, Math.max(1, ms)) : undefined
      signal.addEventListener('abort', done, { once: true })
      this.wake = done
      function done() {
        clearTimeout(timer)
        signal.removeEventListener('abort', done)
        resolve()
      }
    })
  }
}

/** A change of the account shows groups that were not visible before, or hides some. */
function membershipHints(session: Session, account: unknown): Hint[] {
  if (!isObject(account) || account['_id'] !== session.account.id) return []
  const now = readAccount(account).links
  const before = session.account.links
  const changed = [...now.keys()]
    .filter(id => now.get(id) !== before.get(id))
    .concat([...before.keys()].filter(id => !now.has(id)))
  return changed
    .filter(id => isId(session.info, 'mesh', id))
    .map(externalId => ({ resource: 'organizations', externalId, kind: 'changed' }))
}

function take(queue: HintQueue, session: Session, event: Frame): void {
  const { action, meshid } = event
  const id = event['nodeid'] ?? (isObject(event['node']) ? event['node']['_id'] : undefined)
  const groupKind = groupEvents.get(action)
  const deviceKind = deviceEvents.get(action)
  if (action === 'accountchange') {
    for (const hint of membershipHints(session, event['account'])) queue.push(hint)
  } else if (groupKind && isId(session.info, 'mesh', meshid)) {
    queue.push({ resource: 'organizations', externalId: meshid, kind: groupKind })
  } else if (!isId(session.info, 'node', id)) {
    return
  } else if (deviceKind) {
    queue.push({ resource: 'devices', externalId: id, kind: deviceKind })
  } else if (action === 'nodeconnect') {
    if (typeof event['conn'] === 'number' && event['conn'] !== 0) queue.connected(id)
    else queue.disconnected(id)
  }
}

/**
 * Once agents had time to come back after a loss, those that were online before and still are not get looked at
 * again.
 */
async function recheck(
  client: MeshClient,
  session: Session,
  queue: HintQueue,
  until: number,
  signal: AbortSignal
): Promise<void> {
  await delay(Math.max(0, until - Date.now()), undefined, { signal })
  const { presence } = client.state
  if (!presence.anyOnline()) return
  const list = await listNodes(session, signal)
  for (let nodes = list.take(recheckAtOnce); nodes.length > 0; nodes = list.take(recheckAtOnce)) {
    for (const { node } of nodes) {
      const id = node['_id']
      if (connectedOf(node) === false && isId(session.info, 'node', id) && presence.wasOnline(id))
        queue.push({ resource: 'devices', externalId: id, kind: 'heartbeat' })
    }
  }
}

/**
 * Pushes as hints: about `debounceMs` after the first of a burst, one per thing. A device that went away is told only
 * after the grace. Ends when `signal` fires or the client is closed, throws `ProviderError` when the socket is lost.
 */
export async function* listen(
  client: MeshClient,
  debounceMs: number,
  signal: AbortSignal,
  subscribed?: () => void
): AsyncGenerator<Hint> {
  if (signal.aborted) return
  const { presence } = client.state
  const over = new AbortController()
  const stop = AbortSignal.any([signal, over.signal])
  const queue = new HintQueue(debounceMs, presence.graceMs)
  let unsubscribe = () => {}
  try {
    const session = await client.session(signal)
    const unsettledUntil = presence.connected(Date.now())
    unsubscribe = session.onEvent(event => take(queue, session, event))
    subscribed?.()
    void session.over.then(() => {
      over.abort()
    })
    if (unsettledUntil !== null)
      recheck(client, session, queue, unsettledUntil, stop).catch(error => {
        client.ctx.log.debug({ err: error }, 'devices were not looked at again after a lost connection')
      })
    const firstGraceEnds = presence.firstGraceEnds(Date.now())
    if (firstGraceEnds !== null)
      delay(firstGraceEnds - Date.now(), undefined, { signal: stop }).then(
        () => {
          if (presence.takeOpen()) subscribed?.()
        },
        () => {}
      )
    while (!stop.aborted) yield* await queue.next(stop)
    if (session.ended) throw session.ended
  } catch (error) {
    if (!signal.aborted && !client.closed) throw error
  } finally {
    unsubscribe()
    over.abort()
  }
}
