import type { RmmProvider } from '../../providers/define.ts'
import { resourceNames } from '../../types.ts'
import { readingCases } from './reading.ts'
import { safetyCases } from './safety.ts'
import { webhookCases } from './webhook.ts'
import type { ContractCase, ContractWorld } from './world.ts'

export type { ContractCase, ContractFault, ContractWorld, RunningWorld } from './world.ts'

/**
 * Every rule a provider has to keep, as plain cases for any test runner:
 *
 * ```ts
 * for (const { name, skip, run } of providerContract({ provider, world })) test(name, { skip: skip ?? false }, run)
 * ```
 *
 * Each case starts the world afresh and throws `AssertionError` where the provider breaks the rule. Run them one
 * after the other: they watch the whole process's HTTP requests and console. A case that cannot be played carries the
 * reason in `skip`.
 *
 * @param subject.provider what `defineProvider` gave
 * @param subject.world the platform to test against, see `ContractWorld`
 */
export function providerContract(subject: { provider: RmmProvider; world: ContractWorld }): ContractCase[] {
  const resources = resourceNames.filter(name => subject.provider.resources[name])
  return [...safetyCases(subject), ...resources.flatMap(name => readingCases(subject, name)), ...webhookCases(subject)]
}
