import { meshcentral } from '../../../src/providers/meshcentral/index.ts'
import { type FakeMeshCentral, startFakeMeshCentral } from '../../../src/testing/fake-mesh/index.ts'
import type { ContractFault, ContractWorld, FaultPlace } from '../../../src/testing/index.ts'
import type { ResourceName } from '../../../src/types.ts'

/** Short times: what gets no answer is waited for. */
export const subject = () => ({
  provider: meshcentral({ allowPrivateNetwork: true, requestTimeoutMs: 3_000, debounceMs: 50 }),
  world: meshWorld()
})

const cursors: readonly ContractFault[] = ['empty-page', 'repeated-cursor', 'cursor-gone', 'moving-list']
const inList: readonly ContractFault[] = ['html', 'malformed-record', 'unidentified-record', 'short-list']

function plays(fault: ContractFault, resource: ResourceName, place: FaultPlace): true | string {
  if (cursors.includes(fault)) return 'MeshCentral has no cursors'
  if (fault === 'rate-limited')
    return 'MeshCentral has no 429; its way to say "later" refuses the log-in, see meshcentral.test.ts'
  if (fault === 'expired-token') return 'MeshCentral looks at credentials when a socket opens; what is open stays open'
  if (fault === 'redirect') return 'a WebSocket that is open cannot be redirected'
  if (place === 'first' || (resource === 'devices' && !inList.includes(fault))) return true
  return `MeshCentral gives all ${resource === 'devices' ? 'devices' : 'device groups'} in one frame, there is no middle`
}

function fail(fake: FakeMeshCentral, fault: ContractFault, resource: ResourceName, place: FaultPlace): void {
  const action = resource === 'devices' ? 'nodes' : 'meshes'
  if (inList.includes(fault)) {
    fake.fault = { action, kind: fault as 'html' }
    return
  }
  if (fault === 'fetchOne-500') {
    fake.silence(action)
    return
  }
  let details = 0
  const wanted = place === 'first' ? action : 'getsysinfo'
  fake.intercept = command => {
    if (command['action'] !== wanted || (place === 'later' && ++details <= 250)) return false
    fake.dropConnections()
    return true
  }
}

/** More devices than the provider reads in one page. */
export function meshWorld(): ContractWorld {
  return {
    plays,
    async start() {
      const password = 'mesh-contract-password-5d21'
      const fake = await startFakeMeshCentral({ username: 'contract-sync', password, groups: 4, devices: 450 })
      const [first] = fake.world.nodes.keys()
      return {
        config: { url: fake.url },
        secrets: { username: 'contract-sync', password },
        badSecrets: { username: 'contract-sync', password: 'mesh-contract-password-wrong' },
        sensitive: [password, 'mesh-contract-password-wrong'],
        expected: { organizations: [...fake.world.groups.keys()], devices: [...fake.world.nodes.keys()] },
        samples: {
          organizations: { [[...fake.world.groups.keys()][0]!]: { name: 'Group 0', parentExternalId: null } },
          devices: {
            [first!]: {
              displayName: 'PC-0',
              hostname: 'pc-0',
              organizationExternalId: [...fake.world.groups.keys()][0]!,
              online: false,
              currentUser: 'ACME\\user0',
              wanIp: '81.2.0.0',
              tags: ['seeded'],
              ramBytes: 16 * 1024 ** 3
            }
          }
        },
        unknownId: `node//${'A'.repeat(64)}`,
        unknownGroupId: `mesh//${'A'.repeat(64)}`,
        remoteDevice: first!,
        installGroup: [...fake.world.groups.keys()][0]!,
        requests: () => Object.values(fake.counts.actions).reduce((sum, count) => sum + count, 0),
        hosts: () => [`127.0.0.1:${fake.port}`],
        fail: (fault, resource, place) => fail(fake, fault, resource, place),
        push() {
          fake.world.changeNode(first!, { name: 'Renamed by the contract' })
          return first!
        },
        drop: () => fake.dropConnections(),
        close: fake.close
      }
    }
  }
}
