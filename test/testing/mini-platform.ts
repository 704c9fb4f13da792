import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { ContractFault, FaultPlace } from '../../src/testing/index.ts'
import type { ResourceName } from '../../src/types.ts'

/** A platform that has one of everything: log-in, trees, deltas, alerts, sessions, groups and pushes. */

export type Item = Record<string, unknown> & { id: number | string }
const pageSize = 3
const paths: Record<ResourceName, string> = {
  organizations: 'groups',
  devices: 'devices',
  updates: 'updates',
  alerts: 'alerts'
}
const seconds = (ms = Date.now()) => Math.floor(ms / 1000)
const day = 86_400

function deviceOf(n: number): Item {
  return {
    id: `dev-${n}`,
    rev: n + 1,
    group: 100 + (n % 7),
    name: `Front desk ${n}`,
    host: `PC-${n}`,
    serial: `SN${7000 + n}X`,
    assetTag: `TAG-${n}`,
    ram: 8 * 1024 ** 3,
    online: n % 2 === 0,
    seen: seconds() - 60,
    uptime: 30 * day,
    lan: `10.0.0.${n + 1}`,
    wan: `81.2.69.${n + 1}`,
    mac: `d4:be:d9:00:00:0${n}`,
    disks: [{ name: 'C:', size: 500 * 1024 ** 3, free: 100 * 1024 ** 3 }],
    tags: ['desk']
  }
}

function seed() {
  const count = (n: number, make: (n: number) => Item) =>
    new Map(Array.from({ length: n }, (_, at) => [String(make(at).id), make(at)]))
  return {
    groups: count(7, n => ({
      id: 100 + n,
      name: `Group ${n}`,
      parent: n > 3 ? 100 : null,
      note: `note ${n}`,
      made: seconds() - day
    })),
    devices: count(8, deviceOf),
    updates: count(7, n => ({ id: `upd-${n}`, device: `dev-${n}` })),
    alerts: count(7, n => ({
      id: `al-${n}`,
      device: `dev-${n}`,
      title: `Disk ${n}`,
      level: ['emergency', 'high', 'low'][n % 3],
      open: n % 3 !== 2,
      at: seconds() - 3_600
    }))
  }
}

export async function startMini() {
  const state = seed()
  const sockets = new Set<ServerResponse>()
  const tokens = new Set<string>()
  const issued: string[] = []
  const events: Item[] = []
  const waiting = new Set<() => void>()
  const key = 'mini-key-8c1e55'
  let requests = 0
  let rev = 100
  let fault: { kind: ContractFault; path: string; place: FaultPlace; asked: number } | null = null
  let refused = false
  let dropping = false

  const json = (response: ServerResponse, status: number, body: unknown, headers = {}) =>
    void response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(body))

  function listOf(name: keyof typeof state, url: URL): { items: Item[]; more: boolean } | null {
    const all = [...state[name].values()]
    if (name === 'devices') {
      const since = Number(url.searchParams.get('since') ?? 0)
      const items = all
        .filter(item => Number(item['rev']) > since && !(since === 0 && item['deleted']))
        .sort((a, b) => Number(a['rev']) - Number(b['rev']))
      return { items: items.slice(0, pageSize), more: items.length > pageSize }
    }
    const after = url.searchParams.get('after')
    const at = after === null ? -1 : all.findIndex(item => String(item.id) === after)
    if (after !== null && at < 0) return null
    return { items: all.slice(at + 1, at + 1 + pageSize), more: all.length > at + 1 + pageSize }
  }

  /** What becomes of a page; true = answered. */
  function spoil(
    name: keyof typeof state,
    url: URL,
    page: { items: Item[]; more: boolean }
  ): { items: object[]; more: boolean } {
    const once = () => {
      const { kind } = fault!
      if (kind !== 'empty-page' && kind !== 'repeated-cursor') fault = null
    }
    const { items, more } = page
    const place = url.searchParams.get('after') ?? url.searchParams.get('since')
    switch (fault?.kind) {
      case 'empty-page':
        return { items: [], more: true }
      case 'repeated-cursor':
        return { items: listOf(name, new URL(url.pathname, url))!.items, more: true }
      case 'malformed-record':
        once()
        return { items: items.map((item, at) => (at === 1 ? { id: item.id, rev: item['rev'] } : item)), more }
      case 'unidentified-record':
        once()
        return { items: items.map((item, at) => (at === 1 ? { ...item, id: undefined } : item)), more }
      case 'short-list':
        once()
        return { items: items.slice(0, 1), more: false }
      case 'cursor-gone':
        once()
        state[name].delete(String(items.at(-1)!.id))
        return page
      case 'moving-list': {
        once()
        const all = [...state[name].values()]
        const before = all.find(item => place === String(name === 'devices' ? item['rev'] : item.id))
        return { items: before ? [before, ...items] : items, more }
      }
      default:
        return page
    }
  }

  async function body(request: IncomingMessage): Promise<Record<string, any>> {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk as Buffer)
    return chunks.length === 0 ? {} : (JSON.parse(Buffer.concat(chunks).toString()) as Record<string, any>)
  }

  /** Faults that need no true answer; true = played. */
  function played(url: URL, response: ServerResponse): boolean {
    if (fault === null) return false
    const isList = url.pathname === `/${fault.path}`
    const isOne = url.pathname.startsWith(`/${fault.path}/`)
    const { kind } = fault
    if (kind === 'fetchOne-500' && isOne) {
      json(response, 500, {})
      return true
    }
    if (!isList && !(isOne && kind === 'html')) return false
    if (isList && fault.place === 'later' && fault.asked++ === 0) return false
    if (kind === 'html') response.writeHead(200, { 'content-type': 'text/html' }).end('<!doctype html><p>Back soon')
    else if (kind === 'server-error-mid-list') json(response, 500, {})
    else if (kind === 'redirect') json(response, 302, {}, { location: 'https://elsewhere.example/' })
    else if (kind === 'expired-token') {
      tokens.clear()
      refused = true
      json(response, 401, {})
    } else return false
    return true
  }

  async function poll(url: URL, response: ServerResponse): Promise<void> {
    const since = url.searchParams.get('since')
    sockets.add(response)
    if (dropping && since !== null) response.destroy()
    response.once('close', () => sockets.delete(response))
    if (since !== null && events.length <= Number(since))
      await new Promise<void>(resolve => {
        waiting.add(resolve)
        response.once('close', resolve)
      })
    if (!response.destroyed)
      json(response, 200, { events: since === null ? [] : events.slice(Number(since)), next: events.length })
  }

  const touch = (item: Item, change: object) => {
    Object.assign(item, change, { rev: ++rev })
    events.push({ id: `e${rev}`, device: item.id })
    for (const wake of waiting) wake()
    waiting.clear()
  }

  async function act(request: IncomingMessage, response: ServerResponse, url: URL): Promise<void> {
    const [, name = '', id, verb] = url.pathname.split('/')
    const given = await body(request)
    const found = id === undefined ? undefined : state[name as 'devices']?.get(decodeURIComponent(id))
    if (request.method === 'POST' && name === 'groups' && id === undefined) {
      const made: Item = {
        id: 500 + state.groups.size,
        name: given['name'],
        note: given['note'],
        parent: null,
        made: seconds()
      }
      state.groups.set(String(made.id), made)
      return json(response, 201, made)
    }
    if (!found || found['deleted']) return json(response, 404, {})
    if (request.method === 'PATCH') return json(response, 200, Object.assign(found, given))
    if (verb === 'resolve') {
      found['open'] = false
      return json(response, 200, {})
    }
    if (verb === 'session' || verb === 'link') {
      const ends = seconds() + (verb === 'link' ? 3_600 * Number(given['hours']) : 60 * Number(given['minutes']))
      return json(response, 200, { url: `https://mini.example/${verb}/${randomUUID()}`, ends })
    }
    return json(response, 200, found)
  }

  const server = createServer((request, response) => {
    requests++
    const url = new URL(request.url!, 'http://mini')
    const work = async () => {
      if (url.pathname === '/login') {
        const given = await body(request)
        if (given['key'] !== key || refused) return json(response, 401, {})
        const token = `mini-token-${randomUUID()}`
        tokens.add(token)
        issued.push(token)
        return json(response, 200, { token })
      }
      if (played(url, response)) return
      if (!tokens.has(String(request.headers.authorization))) return json(response, 401, {})
      const name = url.pathname.slice(1) as keyof typeof state
      if (url.pathname === '/events') return await poll(url, response)
      if (request.method !== 'GET' || !Object.hasOwn(state, name)) return await act(request, response, url)
      const page = listOf(name, url)
      if (page === null) return json(response, 400, { error: 'no such cursor' })
      const hit = fault !== null && fault.path === name && (fault.place === 'first' || fault.asked > 1)
      json(response, 200, hit ? spoil(name, url, page) : page)
    }
    work().catch(error => response.destroy(error as Error))
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo

  return {
    url: `http://127.0.0.1:${port}`,
    port,
    key,
    issued,
    state,
    requests: () => requests,
    fail(kind: ContractFault, resource: ResourceName, place: FaultPlace) {
      fault = { kind, path: paths[resource], place, asked: 0 }
    },
    push() {
      touch(state.devices.get('dev-3')!, { name: 'Renamed' })
      return 'dev-3'
    },
    drop() {
      dropping = true
      for (const response of sockets) response.destroy()
    },
    change() {
      touch(state.devices.get('dev-1')!, { name: 'Changed' })
      touch(state.devices.get('dev-2')!, { deleted: true })
      return { changed: 'dev-1', deleted: 'dev-2' }
    },
    async close() {
      for (const wake of waiting) wake()
      server.closeAllConnections()
      await new Promise<void>(resolve => server.close(() => resolve()))
    }
  }
}
