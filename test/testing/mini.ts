import { createHmac, randomUUID } from 'node:crypto'
import { Type } from '@sinclair/typebox'
import {
  type AlertRecord,
  type DeviceGroup,
  type DeviceRecord,
  defineProvider,
  type FetchResponse,
  mapRecords,
  type OrganizationRecord,
  type Page,
  type ProviderContext,
  ProviderError,
  type RemoteSession,
  type RmmProvider,
  type UpdateRecord,
  verifyHmacSha256
} from '../../src/provider.ts'
import type { ContractWorld } from '../../src/testing/index.ts'
import { pause } from '../until.ts'
import type { Bug } from './mini-bugs.ts'
import { type Item, startMini } from './mini-platform.ts'

interface Client {
  context: ProviderContext<{ baseUrl: string }, { key: string }>
  token: string | null
}
type Raw = Record<string, any>

const time = (seconds: unknown) => new Date(Number(seconds) * 1000)
const levels: Record<string, AlertRecord['severity']> = { emergency: 'critical', high: 'major', low: 'minor' }
const elsewhere = 'http://127.0.0.1:9/'

/** A provider that has everything and keeps every rule, but for the one bug it is made with. */
export function miniProvider(bug?: Bug): RmmProvider {
  const is = (candidate: Bug) => candidate === bug

  async function login(client: Client, signal: AbortSignal): Promise<string> {
    const { config, secrets, fetch, log } = client.context
    const response = await fetch(`${config.baseUrl}/login`, {
      method: 'POST',
      body: JSON.stringify({ key: secrets.key }),
      signal
    })
    if (response.status !== 200)
      throw new ProviderError(
        is('auth is unreachable') ? 'unreachable' : 'auth',
        'Mini refused the key: enter a new one'
      )
    const { token } = response.json() as { token: string }
    if (is('logs the token')) log.debug({ token }, 'logged in')
    if (is('logs the key in base64')) log.debug({ as: Buffer.from(secrets.key).toString('base64') }, 'logged in')
    if (is('prints the key')) console.log('key', secrets.key)
    if (is('changes the config')) config.baseUrl = `${config.baseUrl} `
    client.token = token
    return token
  }

  async function ask(client: Client, path: string, signal: AbortSignal, options: Raw = {}): Promise<FetchResponse> {
    const { config, fetch } = client.context
    const token = client.token ?? (await login(client, signal))
    const headers = { authorization: token, ...options['headers'] }
    const base = config.baseUrl.trim()
    if (is('phones home')) await fetch(elsewhere).catch(() => {})
    const heard = is('deaf to abort') ? {} : { signal }
    const response = await fetch(base + path, { ...options, ...heard, headers })
    if (response.status !== 401) return response
    if (is('expired is a protocol error')) throw new ProviderError('protocol', 'Mini answered 401: report it')
    const again = await fetch(base + path, {
      ...options,
      ...heard,
      headers: { ...headers, authorization: await login(client, signal) }
    })
    if (again.status === 401)
      throw new ProviderError(
        'auth',
        `Mini refused the token${is('token in the error') ? client.token : ''}: check the key`
      )
    return again
  }

  const organization = (raw: Raw): OrganizationRecord => {
    if (raw['id'] === undefined) throw new Error('the group has no id')
    if (typeof raw['name'] !== 'string') throw new Error('the group has no name')
    return {
      externalId: raw['id'],
      name: is('no name') ? '' : raw['name'],
      parentExternalId: is('parent is itself') ? raw['id'] : raw['parent']
    }
  }

  const device = (raw: Raw): DeviceRecord => {
    if (raw['id'] === undefined) throw new Error('the device has no id')
    if (typeof raw['name'] !== 'string') throw new Error('the device has no name')
    const [disk] = raw['disks']
    const sizes = { totalBytes: disk.size as number, freeBytes: disk.free as number }
    const record: Raw = {
      externalId: raw['id'],
      displayName: is('host name as display name') ? raw['host'] : raw['name'],
      [is('a field misspelt') ? 'hostName' : 'hostname']: raw['host'],
      organizationExternalId: is('group name as reference')
        ? `Group ${raw['group']}`
        : is('no reference')
          ? undefined
          : raw['group'],
      serialNumber: is('asset tag as serial number') ? raw['assetTag'] : raw['serial'],
      ramBytes: is('memory in megabytes') ? raw['ram'] / 1024 ** 2 : raw['ram'],
      online: is('online inverted') ? !raw['online'] : raw['online'],
      lastSeenAt: is('seconds as milliseconds')
        ? new Date(raw['seen'])
        : is('date as text')
          ? time(raw['seen']).toISOString()
          : time(raw['seen']),
      uptimeSeconds: is('uptime in milliseconds') ? raw['uptime'] * 1000 : raw['uptime'],
      lanIp: is('public address as LAN address') ? raw['wan'] : raw['lan'],
      wanIp: raw['wan'],
      macAddresses: is('MAC addresses with names') ? [`eth0 ${raw['mac']}`] : [raw['mac']],
      volumes: [
        {
          name: disk.name,
          ...(is('free and total mixed up') ? { totalBytes: sizes.freeBytes, freeBytes: sizes.totalBytes } : sizes)
        }
      ],
      tags: is('tags as a text') ? raw['tags'].join(',') : raw['tags']
    }
    return record as unknown as DeviceRecord
  }

  const update = (raw: Raw): UpdateRecord => {
    if (raw['device'] === undefined) throw new Error('the update has no device')
    return { externalId: raw['id'], deviceExternalId: is('update of itself') ? raw['id'] : raw['device'] }
  }

  const alert = (raw: Raw): AlertRecord => {
    if (typeof raw['title'] !== 'string') throw new Error('the alert has no title')
    const severity = is('severity as told')
      ? raw['level']
      : is('severities mixed up')
        ? levels['low']
        : levels[raw['level']]
    return {
      externalId: raw['id'],
      deviceExternalId: is('alert without its device') ? null : raw['device'],
      name: raw['title'],
      severity,
      providerSeverity: raw['level'],
      status: raw['open'] !== is('status inverted') ? 'active' : 'resolved',
      startedAt: is('start in seconds') ? new Date(raw['at']) : time(raw['at'])
    }
  }

  async function* list<R>(
    client: Client,
    path: string,
    [query, field]: [query: string, field: string],
    map: (raw: Raw) => R,
    given: unknown,
    signal: AbortSignal
  ): AsyncGenerator<Page<R>> {
    if (is('crashes on a foreign checkpoint') && typeof given === 'object' && given !== null)
      (given as any).after.trim()
    let after = typeof given === 'string' || typeof given === 'number' ? given : null
    const seen = new Set<unknown>()
    for (;;) {
      if (!is('deaf to abort')) signal.throwIfAborted()
      let observedAt = is('observed yesterday') ? new Date(Date.now() - 86_400_000) : new Date()
      const response = await ask(client, `${path}${after === null ? '' : `?${query}=${after}`}`, signal).catch(
        (error: unknown) => {
          if (is('a server error is the end') && error instanceof ProviderError && error.kind === 'unreachable')
            return null
          throw error
        }
      )
      if (response === null) return
      if (is('observed after the answer')) observedAt = new Date(Date.now() + 2)
      if (response.status === 400 && is('a lost cursor is the end')) return
      if (response.status !== 200) throw new ProviderError('gone', 'Mini does not know this place any more')
      let page: { items: Item[]; more: boolean }
      try {
        page = response.json() as typeof page
      } catch (error) {
        if (is('HTML is an empty list')) return
        throw error
      }
      if (!Array.isArray(page?.items)) throw new ProviderError('protocol', 'Mini sent no list')
      const last = page.items.at(-1)?.[field] as string | number | undefined
      if (page.more && last === undefined) {
        if (is('an empty page is the end')) return
        throw new ProviderError('protocol', 'Mini promised more and sent nothing')
      }
      if (page.more && seen.has(last)) {
        if (is('a repeated cursor is the end')) return
        throw new ProviderError('protocol', 'The list of Mini runs in a circle')
      }
      const items = is('hides what comes twice') ? page.items.filter(item => !seen.has(item[field])) : page.items
      if (last !== undefined) seen.add(last)
      after = last ?? after
      const there = items.filter(item => !item['deleted'] || is('deleted ones as records'))
      const mapped = is('one bad record ends the read')
        ? { records: there.map(map), rejected: [] }
        : mapRecords(there, raw => raw.id, map)
      if (is('bad records are left out'))
        mapped.rejected = mapped.rejected.filter(({ externalId }) => externalId === null)
      if (is('records without id are left out'))
        mapped.rejected = mapped.rejected.filter(({ externalId }) => externalId !== null)
      if (is('a record twice') && mapped.records[0]) mapped.records.push(mapped.records[0])
      const gone = items.filter(item => item['deleted']).map(item => item.id)
      const deltas = field === 'rev'
      const goesOn = page.more || (deltas && !is('deltas without a last checkpoint'))
      yield {
        observedAt,
        ...mapped,
        ...(deltas && !is('deltas forget deletions') ? { deletedIds: gone } : {}),
        checkpoint:
          !goesOn || (deltas && is('deltas read everything again'))
            ? null
            : is('checkpoint of the page before')
              ? (given as null)
              : after
      }
      if (!page.more || (is('the last page is forgotten') && seen.size === 2)) return
    }
  }

  async function one<R>(
    client: Client,
    path: string,
    id: string,
    map: (raw: Raw) => R,
    signal: AbortSignal
  ): Promise<R | null> {
    const quiet = (error: unknown) => {
      if (is('fetchOne: errors are null')) return null
      throw error
    }
    const response = await ask(client, `${path}/${encodeURIComponent(id)}`, signal).catch(quiet)
    if (response === null) return null
    if (response.status === 404 && !is('fetchOne: unknown is an error')) return null
    if (response.status !== 200) throw new ProviderError('protocol', `Mini answered ${response.status}`)
    if (is('fetchOne: HTML is null') && response.text().startsWith('<')) return null
    const raw = response.json() as Raw
    if (is('fetchOne maps differently'))
      return map({ ...raw, name: `${raw['name']} (1)`, title: raw['host'] ?? raw['title'], host: raw['name'] })
    return map(is('fetchOne gives another record') ? { ...raw, id: `${raw['id']}0` } : raw)
  }

  async function post(
    client: Client,
    path: string,
    body: object,
    signal: AbortSignal,
    method = 'POST'
  ): Promise<Raw | null> {
    const response = await ask(client, path, signal, { method, body: JSON.stringify(body) })
    if (response.status === 404) return null
    if (response.status >= 300) throw new ProviderError('protocol', `Mini answered ${response.status}`)
    return response.json() as Raw
  }

  async function link(client: Client, path: string, body: object, signal: AbortSignal): Promise<RemoteSession> {
    const made = await post(client, path, body, signal)
    if (made === null) {
      if (is('a session with anything'))
        return { url: 'https://mini.example/', expiresAt: new Date(Date.now() + 60_000) }
      throw new ProviderError('gone', 'Mini does not know this any more')
    }
    return {
      url: is('a relative link') ? new URL(made['url']).pathname : made['url'],
      expiresAt: is('links that ended')
        ? new Date(made['ends'])
        : is('links for ever')
          ? new Date(Date.now() + 1e11)
          : time(made['ends'])
    }
  }

  const group = (raw: Raw): DeviceGroup => ({
    id: String(raw['id']),
    name: raw['name'],
    description: raw['note'] ?? null,
    createdAt: is('made in seconds') ? new Date(raw['made']) : time(raw['made'])
  })
  const clean = (name: string) =>
    is('sanitizeName keeps line breaks')
      ? name.trim()
      : name
          .replace(/\p{Cc}+/gu, ' ')
          .replace(/\s+/g, ' ')
          .trim()

  async function* listen(client: Client, signal: AbortSignal, subscribed?: () => void) {
    let since = ''
    for (;;) {
      if (!is('listen: deaf to abort')) signal.throwIfAborted()
      let response: FetchResponse
      try {
        const heard = is('listen: deaf to abort') ? new AbortController().signal : signal
        response = await ask(client, `/events${since}`, heard, { idempotent: false })
      } catch (error) {
        if (is('listen: lost sockets are kept quiet') && !signal.aborted) {
          await pause(50)
          continue
        }
        throw error
      }
      const { events, next } = response.json() as { events: Array<{ device: string }>; next: number }
      if (!is('listen: never subscribed')) subscribed?.()
      since = `?since=${next}`
      for (const { device: id } of events)
        yield is('listen: hints of an unknown resource')
          ? { resource: 'computers' as 'devices', externalId: id }
          : {
              resource: 'devices' as const,
              externalId: is('listen: names instead of ids') ? `Front desk of ${id}` : id
            }
    }
  }

  return defineProvider({
    id: 'mini',
    name: 'Mini',
    description: 'Has one of everything',
    configSchema: Type.Object({ baseUrl: Type.String({ format: 'uri' }) }),
    secretSchema: Type.Object({ key: Type.String(is('a narrow schema') ? { maxLength: 3 } : {}) }),
    open: (context): Client => ({ context, token: null }),
    async check(client, signal) {
      if (!is('check asks nothing')) await ask(client, '/groups', signal)
      return { account: is('a nameless account') ? '' : 'mini', warnings: [] }
    },
    resources: {
      organizations: {
        deletes: 'snapshot',
        pull: (client, from, signal) => list(client, '/groups', ['after', 'id'], organization, from, signal),
        fetchOne: (client, id, signal) => one(client, '/groups', id, organization, signal)
      },
      devices: {
        deletes: 'explicit',
        pull: (client, from, signal) => list(client, '/devices', ['since', 'rev'], device, from, signal),
        fetchOne: (client, id, signal) => one(client, '/devices', id, device, signal)
      },
      updates: {
        deletes: 'none',
        pull: (client, from, signal) => list(client, '/updates', ['after', 'id'], update, from, signal)
      },
      alerts: {
        deletes: 'snapshot',
        pull: (client, from, signal) => list(client, '/alerts', ['after', 'id'], alert, from, signal),
        fetchOne: (client, id, signal) => one(client, '/alerts', id, alert, signal)
      }
    },
    async resolveAlert(client, id, signal) {
      const found = await one(client, '/alerts', id, alert, signal)
      if (found === null)
        return is('resolve makes an alert up') ? alert({ id, title: 'x', level: 'low', open: false, at: 1e9 }) : null
      if (found.status === 'resolved' && is('resolve twice throws'))
        throw new ProviderError('protocol', 'It is resolved')
      if (!is('resolve only says so')) await post(client, `/alerts/${id}/resolve`, {}, signal)
      return is('resolve gives the alert as active') ? found : { ...found, status: 'resolved' }
    },
    remoteSession: (client, id, { minutes }, signal) => link(client, `/devices/${id}/session`, { minutes }, signal),
    installLink: (client, id, { hours }, signal) => link(client, `/groups/${id}/link`, { hours }, signal),
    deviceGroups: {
      async list(client, signal) {
        const groups: DeviceGroup[] = []
        for await (const page of list(client, '/groups', ['after', 'id'], group, null, signal))
          groups.push(...page.records)
        if (is('groups twice')) groups.push(groups[0]!)
        return { groups, server: is('another server each time') ? randomUUID() : 'mini', complete: true }
      },
      async create(client, { name, description }, signal) {
        const note = is('groups without description') ? '' : description
        return group((await post(client, '/groups', { name, note }, signal))!)
      },
      async rename(client, id, { name, description }, signal) {
        const note = is('rename clears the description') ? (description ?? '') : description
        const change = { ...(name === undefined ? {} : { name }), ...(note === undefined ? {} : { note }) }
        const renamed = await post(client, `/groups/${id}`, change, signal, 'PATCH')
        if (renamed !== null) return group(renamed)
        if (is('rename of nothing is fine')) return { id, name: name ?? '', description: null }
        throw new ProviderError('gone', 'The group is gone')
      },
      sanitizeName: clean
    },
    listen,
    webhook: {
      verify({ headers, rawBody }, secrets) {
        if (is('open without a secret') && secrets.length === 0) return true
        if (is('verify throws') && headers['x-mini'] === undefined) throw new Error('no signature')
        return verifyHmacSha256(rawBody, headers['x-mini'], is('only the first secret') ? secrets.slice(0, 1) : secrets)
      },
      parse({ rawBody }) {
        const body = (is('parses anything') && rawBody.length < 12 ? {} : JSON.parse(rawBody.toString())) as Raw
        if (typeof body?.['id'] !== 'string' && !is('parses anything')) throw new Error('no event')
        const kind =
          body['kind'] === 'gone' && !is('a deletion as a change') ? ('deleted' as const) : ('changed' as const)
        return {
          id: is('a new id per delivery') ? randomUUID() : String(body['id']),
          type: String(body['kind']),
          occurredAt: is('happened in seconds') ? new Date(body['at']) : time(body['at']),
          hints: [
            {
              resource: is('a hint about another resource') ? 'alerts' : ('devices' as const),
              externalId: is('a hint about the event') ? body['id'] : body['device'],
              kind
            }
          ]
        }
      },
      setup: { signatureHeader: 'X-Mini', secretHeader: null, events: [], payloadTemplate: null, instructions: [] }
    },
    async close(client) {
      if (is('closes once') && client.token === 'closed') throw new Error('closed already')
      client.token = 'closed'
    }
  }) as RmmProvider
}

const request = (kind: string) => (secret: string) => {
  const rawBody = Buffer.from(JSON.stringify({ id: `${kind}-1`, kind, device: 'dev-1', at: 1_790_000_000 }))
  return { headers: { 'x-mini': createHmac('sha256', secret).update(rawBody).digest('hex') }, rawBody }
}

/** The provider with a bug, or without one, and its world. */
export function miniSubject(bug?: Bug): { provider: RmmProvider; world: ContractWorld } {
  return { provider: miniProvider(bug), world: miniWorld() }
}

function miniWorld(): ContractWorld {
  return {
    plays(fault, resource) {
      if (fault === 'rate-limited') return 'it takes a second each; the contract of the other providers plays it'
      if (fault === 'cursor-gone' && resource === 'devices') return 'the place in a list of changes is no record'
      return true
    },
    webhooks: { changed: request('changed'), gone: request('gone') },
    hints: {
      changed: [{ resource: 'devices', externalId: 'dev-1', kind: 'changed' }],
      gone: [{ resource: 'devices', externalId: 'dev-1', kind: 'deleted' }]
    },
    async start() {
      const mini = await startMini()
      const badSecrets = { key: 'mini-key-revoked-77' }
      const { groups, devices, updates, alerts } = mini.state
      return {
        config: { baseUrl: mini.url },
        secrets: { key: mini.key },
        badSecrets,
        get sensitive() {
          return [mini.key, badSecrets.key, ...mini.issued]
        },
        expected: {
          organizations: [...groups.keys()],
          devices: [...devices.keys()],
          updates: [...updates.keys()],
          alerts: [...alerts.keys()]
        },
        samples: {
          organizations: { 105: { name: 'Group 5', parentExternalId: 100 } },
          devices: {
            'dev-1': {
              displayName: 'Front desk 1',
              hostname: 'PC-1',
              serialNumber: 'SN7001X',
              online: false,
              lanIp: '10.0.0.2',
              wanIp: '81.2.69.2'
            }
          },
          alerts: { 'al-0': { severity: 'critical', status: 'active', name: 'Disk 0' } }
        },
        unknownId: 'dev-none',
        unknownGroupId: '999',
        activeAlert: 'al-1',
        remoteDevice: 'dev-1',
        installGroup: '100',
        requests: mini.requests,
        hosts: () => [`127.0.0.1:${mini.port}`],
        fail: mini.fail,
        push: mini.push,
        drop: mini.drop,
        change: mini.change,
        close: mini.close
      }
    }
  }
}
