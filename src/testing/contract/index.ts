import type { RmmProvider } from '../../providers/define.ts'
import { resourceNames } from '../../types.ts'
import { actionCases } from './actions.ts'
import { faultCases } from './faults.ts'
import { groupCases } from './groups.ts'
import { incrementalCases } from './incremental.ts'
import { listenCases } from './listen.ts'
import { readingCases } from './reading.ts'
import { safetyCases } from './safety.ts'
import { valueCases } from './values.ts'
import { webhookCases } from './webhook.ts'
import type { ContractCase, ContractWorld } from './world.ts'

export type { ContractCase, ContractFault, ContractWorld, FaultPlace, RunningWorld, Samples } from './world.ts'

/**
 * Every rule a provider has to keep, as plain cases for any test runner:
 *
 * ```ts
 * for (const { name, skip, run } of providerContract({ provider, world })) test(name, { skip: skip ?? false }, run)
 * ```
 *
 * Each case starts the world afresh and throws `AssertionError` where the provider breaks the rule, in one sentence that
 * says which and where it is written. Run them one after the other: they watch the whole process's HTTP requests and
 * console. A case that cannot be played carries the reason in `skip`; what the provider does not have has no case.
 *
 * @param subject.provider what `defineProvider` gave
 * @param subject.world the platform to test against, see `ContractWorld`
 */
export function providerContract(subject: { provider: RmmProvider; world: ContractWorld }): ContractCase[] {
  const resources = resourceNames.filter(name => subject.provider.resources[name])
  return [
    ...safetyCases(subject),
    ...resources.flatMap(name => [
      ...readingCases(subject, name),
      ...valueCases(subject, name),
      ...faultCases(subject, name),
      ...incrementalCases(subject, name)
    ]),
    ...webhookCases(subject),
    ...actionCases(subject),
    ...groupCases(subject),
    ...listenCases(subject)
  ]
}
