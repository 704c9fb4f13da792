import { meshcentral } from '../../../src/providers/meshcentral/index.ts'
import { startFakeMeshCentral } from '../../../src/testing/fake-mesh/index.ts'
import type { ContractWorld } from '../../../src/testing/index.ts'

export const subject = () => ({ provider: meshcentral({ allowPrivateNetwork: true }), world: meshWorld() })

/** More devices than the provider reads in one page. */
export function meshWorld(): ContractWorld {
  return {
    plays(fault, resource) {
      if (fault === 'server-error-mid-list')
        return resource === 'devices' ? true : 'MeshCentral gives all device groups in one frame, there is no middle'
      if (fault === 'rate-limited')
        return 'MeshCentral has no 429; its way to say "later" refuses the log-in, see meshcentral.test.ts'
      if (fault === 'redirect') return 'a WebSocket that is open cannot be redirected'
      return 'MeshCentral has no cursors'
    },
    async start() {
      const password = 'mesh-contract-password-5d21'
      const fake = await startFakeMeshCentral({ username: 'contract-sync', password, groups: 4, devices: 450 })
      return {
        config: { url: fake.url },
        secrets: { username: 'contract-sync', password },
        badSecrets: { username: 'contract-sync', password: 'mesh-contract-password-wrong' },
        sensitive: [password, 'mesh-contract-password-wrong'],
        expected: { organizations: [...fake.world.groups.keys()], devices: [...fake.world.nodes.keys()] },
        unknownId: `node//${'A'.repeat(64)}`,
        requests: () => Object.values(fake.counts.actions).reduce((sum, count) => sum + count, 0),
        hosts: () => [`127.0.0.1:${fake.port}`],
        fail() {
          let details = 0
          fake.intercept = ({ action }) => {
            if (action !== 'getsysinfo' || ++details <= 250) return false
            fake.dropConnections()
            return true
          }
        },
        close: fake.close
      }
    }
  }
}
