import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import type { Connection } from '../../src/index.ts'
import {
  type FakeMeshCentral,
  type FakeMeshGroup,
  type FakeMeshNode,
  meshInterfaces,
  meshRights,
  startFakeMeshCentral,
  windowsHardware
} from '../../src/testing/fake-mesh/index.ts'
import { home } from './people.ts'
import type { Kept } from './settings.ts'
import { type Stage, syncNow } from './story.ts'
import { bold, green, say, table, yellow } from './terminal.ts'

interface Memory {
  agentCertHash: string
  groups: FakeMeshGroup[]
  nodes: FakeMeshNode[]
}

/**
 * A MeshCentral in this process, which remembers its groups and devices in `file` between starts. At first it has one
 * group that fits a client, two that fit one client equally well, and one of somebody's own.
 */
export async function startMesh(
  { meshPassword: password, meshPort: port }: Kept,
  file: string
): Promise<FakeMeshCentral> {
  const fake = await startFakeMeshCentral({ port, username: 'psa-sync', password, groups: 0, devices: 0 })
  const { world, account } = fake
  if (!existsSync(file)) {
    for (const name of [
      'Harbour Dental Ltd Devices',
      'Juniper Accounting Devices',
      'juniper accounting devices',
      'Test lab'
    ])
      world.addGroup(name, { account: fake.other })
    return fake
  }
  const memory = JSON.parse(readFileSync(file, 'utf8')) as Memory
  world.agentCertHash = memory.agentCertHash
  for (const group of memory.groups) {
    world.groups.set(group._id, group)
    account.links.set(group._id, meshRights.all)
  }
  for (const [index, node] of memory.nodes.entries()) equip(fake, node, index)
  return fake
}

/** A device with hardware, addresses and a connected agent. */
function equip({ world }: FakeMeshCentral, node: FakeMeshNode, index: number): void {
  world.nodes.set(node._id, node)
  world.sysinfo.set(node._id, windowsHardware(index))
  world.network.set(node._id, meshInterfaces(index))
  world.connected.set(node._id, Date.now() - 3_600_000)
}

function remember({ world }: FakeMeshCentral, file: string): void {
  const memory: Memory = {
    agentCertHash: world.agentCertHash,
    groups: [...world.groups.values()],
    nodes: [...world.nodes.values()]
  }
  writeFileSync(file, JSON.stringify(memory), { mode: 0o600 })
}

/** Agents appear in the new groups, as after somebody used their install links. */
function installAgents(fake: FakeMeshCentral, groupIds: string[]): void {
  for (const [n, meshid] of groupIds.entries()) {
    for (const place of [1, 2]) {
      const node = fake.world.addNode({
        meshid,
        name: `mesh-pc-${n + 1}-${place}`,
        rname: `mesh-pc-${n + 1}-${place}`,
        osdesc: 'Microsoft Windows 11 Pro - 24H2/26100',
        agent: { ver: 0, id: 4, caps: 31 }
      })
      equip(fake, node, fake.world.nodes.size - 1)
    }
  }
}

/** MeshCentral's part of the story: a device group for every client, then the devices in them. */
export async function tellMesh(
  stage: Stage,
  connection: Connection,
  fake?: { server: FakeMeshCentral; file: string }
): Promise<void> {
  const { deviceGroups } = stage.app.rmm
  const { message, success, results } = await deviceGroups.syncAll(home, connection.id)
  say(`\n${bold('A device group for every client')}: ${message}`)
  table(results.map(({ name, outcome, error }) => [outcome, name, error ?? '']))
  if (!success) say(yellow('  A conflict is never guessed: rename or remove one of the groups and run it again.'))
  if (fake !== undefined) {
    if (fake.server.world.nodes.size === 0)
      installAgents(fake.server, results.flatMap(({ groupId }) => groupId ?? []).slice(0, 4))
    remember(fake.server, fake.file)
  }
  say(`\n${bold('Sync')} of the devices in them:`)
  const run = await syncNow(stage, connection, connection.counts.devices)
  if (run !== undefined)
    say(
      `${run.status === 'succeeded' ? green('✓') : yellow('!')} ${run.status}: ${run.summary ?? run.error?.message ?? ''}`
    )
}
