import type { Core } from '../core.ts'
import { addressesIn, secretPart } from '../model/index.ts'
import { type ConnectionLook, connectionLooks } from '../store/index.ts'
import { mayBePlain } from './registry.ts'
import { secretsUsage } from './reseal.ts'

/** An address that was stored before it was refused. */
export interface AddressFault {
  connectionId: string
  tenantId: string
  provider: string
  /** The path of the field in the config. */
  field: string
  what: string
}

const portion = 500
const namedAtMost = 20

/** Every stored address that carries something secret, or leads over a public network in the clear. */
export async function addressFaults({
  database,
  registry
}: Pick<Core, 'database' | 'registry'>): Promise<AddressFault[]> {
  const faults: AddressFault[] = []
  for (let after: string | null = null; ; ) {
    const rows = await connectionLooks(database, after, portion)
    for (const row of rows) faults.push(...faultsOf(row, registry.get(row.provider)))
    if (rows.length < portion) return faults
    after = rows.at(-1)!.id
  }
}

function faultsOf(
  { id, tenant_id, provider, config }: ConnectionLook,
  known: ReturnType<Core['registry']['get']>
): AddressFault[] {
  return addressesIn(known?.configSchema ?? {}, config).flatMap(({ field, text }) => {
    const part = secretPart(text)
    const url = URL.canParse(text) ? new URL(text) : null
    // Of a provider that is not registered nobody knows what the host allows it.
    const plain =
      url?.protocol === 'http:' && !mayBePlain(url.hostname, known === undefined || known.allowPrivateNetwork === true)
    const what = part !== null ? `contains ${part}` : plain ? 'is not encrypted' : null
    return what === null ? [] : [{ connectionId: id, tenantId: tenant_id, provider, field, what }]
  })
}

/** Says at boot what of the stored connections will not work or should not stay. A look only: nothing is changed. */
export async function lookOver(core: Core): Promise<void> {
  try {
    const { keys } = await secretsUsage(core)
    const missing = keys.filter(({ opens }) => !opens)
    if (missing.length > 0)
      core.log.warn(
        { keys: missing },
        'stored secrets cannot be opened: the secret box lacks the keys they were sealed with; give them back to it, or have the secrets entered again'
      )
    const faults = await addressFaults(core)
    if (faults.length > 0)
      core.log.warn(
        { count: faults.length, connections: faults.slice(0, namedAtMost) },
        'addresses of stored connections carry secrets or are not encrypted: have them entered again; what is secret in them is a field of the secrets'
      )
  } catch (error) {
    if (!core.signal.aborted) core.log.warn({ err: error }, 'the stored connections could not be looked over')
  }
}
