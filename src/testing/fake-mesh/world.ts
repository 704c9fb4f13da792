import { randomBytes } from 'node:crypto'
import {
  type FakeMeshAccount,
  type FakeMeshGroup,
  type FakeMeshNode,
  type MeshDoc,
  newId,
  rights
} from './documents.ts'

/** Everything the fake server knows. Its methods change it and push the change to whom the real server would. */
export class MeshWorld {
  readonly domain: string
  agentCertHash = randomBytes(48).toString('base64')
  readonly groups = new Map<string, FakeMeshGroup>()
  readonly nodes = new Map<string, FakeMeshNode>()
  /** Node id → hardware document (`getsysinfo.hardware`). */
  readonly sysinfo = new Map<string, MeshDoc>()
  /** Node id → interfaces (`getnetworkinfo.netif2`). */
  readonly network = new Map<string, MeshDoc>()
  /** Node id → the time its agent connected. */
  readonly connected = new Map<string, number>()
  /** Node id → the time it last connected or disconnected. */
  readonly lastConnects = new Map<string, number>()
  readonly accounts = new Map<string, FakeMeshAccount>()
  /** Account ids listed in `manageAllDeviceGroups`. */
  readonly managers = new Set<string>()
  /** Set by the server: hands an event to every session that may see it. */
  publish: (event: MeshDoc) => void = () => {}

  constructor(domain: string) {
    this.domain = domain
  }

  addAccount(account: {
    name: string
    password: string
    siteadmin?: number
    twoFactor?: string
    manager?: boolean
  }): FakeMeshAccount {
    const { name, password, siteadmin = 0, twoFactor, manager = false } = account
    const added: FakeMeshAccount = {
      _id: `user/${this.domain}/${name.toLowerCase()}`,
      name,
      password,
      siteadmin,
      links: new Map(),
      ...(twoFactor === undefined ? {} : { twoFactor })
    }
    this.accounts.set(added._id, added)
    if (manager) this.managers.add(added._id)
    return added
  }

  seesAll(account: FakeMeshAccount): boolean {
    return account.siteadmin === rights.all && this.managers.has(account._id)
  }

  rightsOf(account: FakeMeshAccount, meshid: string): number {
    const group = this.groups.get(meshid)
    if (!group || group.deleted) return 0
    return this.seesAll(account) ? rights.all : (account.links.get(meshid) ?? 0)
  }

  visibleGroups(account: FakeMeshAccount): FakeMeshGroup[] {
    return [...this.groups.values()].filter(group => this.rightsOf(account, group._id) !== 0)
  }

  visibleNodes(account: FakeMeshAccount): FakeMeshNode[] {
    return [...this.nodes.values()].filter(node => this.rightsOf(account, node.meshid) !== 0)
  }

  /** The node with its connection state, as `nodes` shows it; without `meshid`, which is the key it is listed under. */
  listed(node: FakeMeshNode): MeshDoc {
    const { meshid: _, ...doc } = node
    const since = this.connected.get(node._id)
    return since === undefined ? doc : { ...doc, conn: 1, pwr: 1, agct: since }
  }

  links(meshid: string): MeshDoc {
    return Object.fromEntries(
      [...this.accounts.values()]
        .filter(account => account.links.has(meshid))
        .map(account => [account._id, { name: account.name, rights: account.links.get(meshid) }])
    )
  }

  userDoc(account: FakeMeshAccount): MeshDoc {
    const links = Object.fromEntries([...account.links].map(([id, bits]) => [id, { rights: bits }]))
    return {
      _id: account._id,
      name: account.name,
      creation: 1_795_325_649,
      links,
      ...(account.siteadmin === 0 ? {} : { siteadmin: account.siteadmin })
    }
  }

  /** Made by `account`, who becomes its administrator. Names are stored as they come and need not be unique. */
  addGroup(
    name: string,
    { account, mtype = 2, desc }: { account: FakeMeshAccount; mtype?: number; desc?: string | undefined }
  ): FakeMeshGroup {
    const group: FakeMeshGroup = {
      type: 'mesh',
      _id: newId('mesh', this.domain),
      name,
      mtype,
      domain: this.domain,
      creation: Date.now(),
      creatorid: account._id,
      creatorname: account.name,
      ...(desc === undefined ? {} : { desc })
    }
    this.groups.set(group._id, group)
    account.links.set(group._id, rights.all)
    this.accountChanged(account)
    this.publish({
      etype: 'mesh',
      action: 'createmesh',
      userid: account._id,
      meshid: group._id,
      mtype,
      mesh: { ...group, links: this.links(group._id) },
      msgid: 76,
      msg: `Device group created: ${name}`,
      domain: this.domain
    })
    return group
  }

  changeGroup(id: string, change: { name?: string; desc?: string }): void {
    const group = this.groups.get(id)
    if (!group) throw new Error(`no device group ${id}`)
    Object.assign(group, change)
    this.publish({
      etype: 'mesh',
      action: 'meshchange',
      meshid: id,
      name: group.name,
      mtype: group.mtype,
      desc: group.desc,
      links: this.links(id),
      msgid: 142,
      domain: this.domain
    })
  }

  /** Soft: the group and its nodes disappear, the nodes without a push; see `connectNode`. */
  removeGroup(id: string): void {
    const group = this.groups.get(id)
    if (!group) throw new Error(`no device group ${id}`)
    this.publish({
      etype: 'mesh',
      action: 'deletemesh',
      meshid: id,
      mtype: group.mtype,
      msg: 'Device group deleted: undefined',
      domain: this.domain
    })
    group.deleted = true
    for (const account of this.accounts.values()) if (account.links.delete(id)) this.accountChanged(account)
  }

  setRights(account: FakeMeshAccount, meshid: string, bits: number): void {
    if (bits === 0) account.links.delete(meshid)
    else account.links.set(meshid, bits)
    this.accountChanged(account)
  }

  addNode(node: Partial<FakeMeshNode> & { meshid: string }): FakeMeshNode {
    const added: FakeMeshNode = {
      type: 'node',
      mtype: 2,
      _id: newId('node', this.domain),
      icon: 1,
      name: 'new',
      domain: this.domain,
      host: null,
      firstconnect: Date.now(),
      ...node
    }
    this.nodes.set(added._id, added)
    this.publish({
      etype: 'node',
      action: 'addnode',
      node: { ...this.listed(added), meshid: added.meshid },
      msgid: 84,
      domain: this.domain
    })
    return added
  }

  /** An agent that connects brings its deleted group back, without the key `mesh` in the push. */
  connectNode(id: string, since = Date.now()): void {
    const node = this.node(id)
    const group = this.groups.get(node.meshid)
    if (group?.deleted) {
      delete group.deleted
      const owner = this.accounts.get(String(group['creatorid']))
      owner?.links.set(group._id, rights.all)
      this.publish({
        etype: 'mesh',
        action: 'createmesh',
        meshid: group._id,
        name: group.name,
        mtype: group.mtype,
        desc: group.desc,
        links: this.links(group._id),
        msgid: 56,
        msg: `Device group undeleted: ${group.name}`,
        domain: this.domain
      })
    }
    this.connected.set(id, since)
    this.lastConnects.set(id, since)
    this.connection(node, 1)
  }

  disconnectNode(id: string): void {
    this.connected.delete(id)
    this.lastConnects.set(id, Date.now())
    this.connection(this.node(id), 0)
  }

  changeNode(id: string, change: MeshDoc): void {
    const node = Object.assign(this.node(id), change)
    this.publish({
      etype: 'node',
      action: 'changenode',
      nodeid: id,
      node: { ...this.listed(node), meshid: node.meshid },
      nolog: 1,
      domain: this.domain
    })
  }

  moveNode(id: string, meshid: string): void {
    const node = this.node(id)
    const oldMeshId = node.meshid
    node.meshid = meshid
    this.publish({
      etype: 'node',
      action: 'nodemeshchange',
      nodeid: id,
      node: this.listed(node),
      oldMeshId,
      newMeshId: meshid,
      domain: this.domain
    })
  }

  removeNode(id: string): void {
    const { meshid } = this.node(id)
    this.publish({ etype: 'node', action: 'removenode', nodeid: id, meshid, msgid: 87, domain: this.domain })
    this.nodes.delete(id)
    this.connected.delete(id)
  }

  setHardware(id: string, hardware: MeshDoc): void {
    this.sysinfo.set(id, hardware)
    this.publish({
      action: 'sysinfohash',
      nodeid: id,
      hash: randomBytes(8).toString('hex'),
      nolog: 1,
      domain: this.domain
    })
  }

  setNetwork(id: string, netif2: MeshDoc): void {
    this.network.set(id, netif2)
    this.publish({ action: 'ifchange', nodeid: id, nolog: 1, domain: this.domain })
  }

  /** The database is gone, the certificates stay: same server, no groups, no nodes, the accounts made anew. */
  loseDatabase(): void {
    for (const collection of [this.groups, this.nodes, this.sysinfo, this.network, this.connected, this.lastConnects])
      collection.clear()
    for (const account of this.accounts.values()) account.links.clear()
  }

  private node(id: string): FakeMeshNode {
    const node = this.nodes.get(id)
    if (!node) throw new Error(`no node ${id}`)
    return node
  }

  private connection(node: FakeMeshNode, conn: 0 | 1): void {
    this.publish({
      action: 'nodeconnect',
      meshid: node.meshid,
      nodeid: node._id,
      domain: this.domain,
      conn,
      pwr: conn,
      nolog: 1,
      nopeers: 1
    })
  }

  private accountChanged(account: FakeMeshAccount): void {
    this.publish({
      etype: 'user',
      action: 'accountchange',
      userid: account._id,
      account: this.userDoc(account),
      nolog: 1,
      domain: this.domain
    })
  }
}
