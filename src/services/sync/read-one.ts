import { ProviderRecordError } from '../../errors.ts'
import { ProviderError, type RmmProvider } from '../../providers/define.ts'
import type { ResourceName } from '../../types.ts'
import { sentenceOf } from '../platform/index.ts'
import { NotRecorded } from './not-recorded.ts'
import { type AnyRecord, type AnyResource, normalizers } from './prepare.ts'

/** What one record is called in a sentence. */
const nouns: Record<ResourceName, string> = {
  organizations: 'an organization',
  devices: 'a device',
  updates: 'an update',
  alerts: 'an alert'
}

/**
 * One record that can be stored, or null where the platform does not know it. One that is there and cannot be used
 * throws `RMM_ERR_PROVIDER_RECORD` with the provider's sentence: what would have been a rejected record of a
 * list.
 */
export async function readOne(
  { provider, client }: { provider: RmmProvider; client: unknown },
  name: ResourceName,
  externalId: string,
  observedAt: Date,
  signal: AbortSignal
): Promise<AnyRecord | null> {
  const resource = provider.resources[name] as AnyResource
  try {
    const record = await resource.fetchOne!(client, externalId, signal)
    if (record == null) return null
    normalizers[name](record, observedAt)
    return record
  } catch (error) {
    if (error instanceof ProviderError || error instanceof NotRecorded || signal.aborted) throw error
    throw Object.assign(
      new ProviderRecordError(
        `${provider.name} has ${nouns[name]} under the id ${externalId} that cannot be read: ${sentenceOf(error)}`
      ),
      { cause: error }
    )
  }
}
