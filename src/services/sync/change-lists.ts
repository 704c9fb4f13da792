import { NotFoundError } from '../../errors.ts'
import type { Rmm } from '../../rmm.ts'
import type { Core } from '../core.ts'
import {
  findDevice,
  findRun,
  hasChanges,
  listConnectionChanges,
  listDeviceChanges,
  listRunChanges,
  requireConnection
} from '../store/index.ts'

/** The change log, read. */
export function createChangeLists({ database }: Core): Pick<Rmm['changes'], 'ofRun' | 'ofDevice' | 'list'> {
  return {
    async ofRun(tenantId, runId, query) {
      // A mapping change has an id of its own where others have a run.
      if ((await findRun(database, tenantId, runId)) === null && !(await hasChanges(database, tenantId, runId)))
        throw new NotFoundError('Run')
      return await listRunChanges(database, tenantId, runId, query)
    },
    async ofDevice(tenantId, deviceId, query) {
      if ((await findDevice(database, tenantId, deviceId)) === null) throw new NotFoundError('Device')
      return await listDeviceChanges(database, tenantId, deviceId, query)
    },
    async list(tenantId, connectionId, query) {
      await requireConnection(database, tenantId, connectionId)
      return await listConnectionChanges(database, tenantId, connectionId, query)
    }
  }
}
