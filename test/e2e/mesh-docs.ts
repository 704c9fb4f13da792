import { createHmac } from 'node:crypto'
import { meshInterfaces, windowsHardware } from '../../src/testing/fake-mesh/index.ts'

/** An id of the kind the server makes, the same for the same name. */
export const nodeId = (name: string, domain = '') =>
  `node/${domain}/${Buffer.from(name.padEnd(48, '.')).toString('base64')}`

/** What the server keeps of one Windows device, as documents of its database. */
export function windowsDocs(meshid: string, name: string, index: number, extra: object = {}): object[] {
  const [, domain = ''] = meshid.split('/')
  const _id = nodeId(name, domain)
  return [
    {
      type: 'node',
      mtype: 2,
      _id,
      meshid,
      icon: 1,
      name,
      rname: name.toLowerCase(),
      domain,
      agent: { ver: 0, id: 4, caps: 31, core: 'Nov 21 2022, 2189501291', root: true },
      host: null,
      ip: '81.2.69.142',
      firstconnect: 1_795_327_284_936,
      osdesc: 'Microsoft Windows 11 Pro - 24H2/26100',
      lastbootuptime: 1_795_324_543_000,
      users: ['ACME\\jane'],
      av: [{ product: 'Microsoft Defender', updated: true, enabled: true }],
      intelamt: { user: 'admin', pass: 'amt-secret', tls: 0 },
      ssh: { 'user//admin': { u: 'root', p: 'ssh-secret' } },
      ...extra
    },
    {
      _id: `si${_id}`,
      type: 'sysinfo',
      domain,
      time: 1_795_327_285_602,
      hash: 'B3025B',
      hardware: windowsHardware(index)
    },
    { _id: `if${_id}`, type: 'ifinfo', domain, updateTime: 1_795_327_285_602, netif2: meshInterfaces(index) },
    {
      _id: `lc${_id}`,
      type: 'lastconnect',
      domain,
      meshid,
      time: 1_795_327_107_039,
      cause: 1,
      connectType: 1,
      addr: '127.0.0.1:43943'
    }
  ]
}

/** A group and, in each member's account, that it is one: the server keeps both. */
export function groupDocs(
  name: string,
  members: Array<{ user: Record<string, any>; rights: number }>,
  domain = ''
): { id: string; docs: object[] } {
  const _id = `mesh/${domain}/${Buffer.from(name.padEnd(48, '.')).toString('base64')}`
  const links = Object.fromEntries(members.map(({ user, rights }) => [user['_id'], { name: user['name'], rights }]))
  for (const { user, rights } of members) user['links'] = { ...user['links'], [_id]: { rights } }
  return {
    id: _id,
    docs: [
      { type: 'mesh', _id, name, mtype: 2, domain, desc: '', links, creation: 1_795_326_762_288 },
      ...members.map(({ user }) => user)
    ]
  }
}

/** The code an authenticator shows for this secret. */
export function totp(secret: Buffer, now = Date.now()): string {
  const counter = Buffer.alloc(8)
  counter.writeBigUInt64BE(BigInt(Math.floor(now / 30_000)))
  const mac = createHmac('sha1', secret).update(counter).digest()
  const offset = mac.at(-1)! & 15
  return String((mac.readUInt32BE(offset) & 0x7fffffff) % 1_000_000).padStart(6, '0')
}

export function base32(bytes: Buffer): string {
  const bits = [...bytes].map(byte => byte.toString(2).padStart(8, '0')).join('')
  return bits
    .match(/.{5}/g)!
    .map(five => 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'[Number.parseInt(five, 2)])
    .join('')
}
