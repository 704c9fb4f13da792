import { AlreadyConnectedError, SecretsRequiredError } from '../../errors.ts'
import type { RmmProvider } from '../../providers/define.ts'
import { destinationOf, leadsElsewhere } from '../egress/index.ts'
import { addressesIn, stableJson } from '../model/index.ts'
import { connectionsOfAccount, type Db, type Tables } from '../store/index.ts'

export function isElsewhere(
  provider: RmmProvider,
  stored: Record<string, unknown>,
  wanted: Record<string, unknown>
): boolean {
  return leadsElsewhere(destinationOf(provider, stored), destinationOf(provider, wanted))
}

/** Whoever may change an address must not come by the secrets that were given for another one. */
export function requireSameDestination(
  provider: RmmProvider,
  stored: Record<string, unknown>,
  wanted: Record<string, unknown>
): void {
  if (!isElsewhere(provider, stored, wanted)) return
  const [from, to] = [stored, wanted].map(config => destinationOf(provider, config).origins.join(', '))
  const what =
    from === to
      ? 'another certificate authority would be trusted'
      : `the connection would talk to ${to} instead of ${from}`
  throw new SecretsRequiredError(
    `Give the secrets together with this config: ${what}, and the stored secrets were not given for that. Nothing was sent, nothing was changed`
  )
}

/** An account as it is told from others: on which platform, where, and what `check` calls it. */
export interface Account {
  tenantId: string
  provider: RmmProvider
  config: Record<string, unknown>
  account: string
}

/**
 * Where a config points to, for telling accounts apart: its origins, and whatever else of it is neither an address nor
 * a certificate. A path is no other place, a domain or a region may be.
 */
function placeOf(provider: RmmProvider, config: Record<string, unknown>): string {
  const addresses = new Set(addressesIn(provider.configSchema, config).map(({ field }) => field.split('.')[0]!))
  const rest = Object.entries(config).filter(
    ([name, value]) =>
      !addresses.has(name) && value !== '' && value != null && !String(value).includes('BEGIN CERTIFICATE')
  )
  return stableJson([destinationOf(provider, config).origins, Object.fromEntries(rest)])
}

/**
 * The same account twice is every device twice, and every asset. Whoever connects it at the same moment waits for the
 * end of this transaction. Throws `RMM_ERR_ALREADY_CONNECTED` with the id of the connection that has it.
 */
export async function requireNew(trx: Db, t: Tables, wanted: Account, except?: string): Promise<void> {
  const { tenantId, provider, config, account } = wanted
  const place = placeOf(provider, config)
  const same = (await connectionsOfAccount(trx, t, { tenantId, provider: provider.id, account })).filter(
    row => row.id !== except && placeOf(provider, row.config) === place
  )
  const known = same.find(row => row.status !== 'disconnected') ?? same[0]
  if (known === undefined) return
  const way =
    known.status === 'disconnected'
      ? `was connected before, as "${known.name}" (${known.id}), which still has its mapping and devices. Give that connection its secrets again (PATCH …/connections/${known.id})`
      : `is connected already, as "${known.name}" (${known.id}). Use that connection`
  throw Object.assign(
    new AlreadyConnectedError(
      `The account ${account} ${way}. allowDuplicate: true connects it all the same: right for another account that the platform does not tell from this one, otherwise every device is there twice`
    ),
    { connectionId: known.id }
  )
}
