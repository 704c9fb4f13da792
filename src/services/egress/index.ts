/**
 * What providers get to reach their platform: `fetch` and `webSocket` with time-outs, retries, rate limits, the
 * connection's hosts only; and what a failure on that way means for a run.
 */

export { classify, type Failure } from './classify.ts'
export {
  createEgress,
  createRateLimiter,
  createRedact,
  type Destination,
  destinationOf,
  type Egress,
  hostsOf,
  isInsideAddress,
  leadsElsewhere,
  type RateLimiter,
  type Redact
} from './egress.ts'
export { checkedKey, checkedValue, memorySession, type PendingValues, singleFlight } from './session-values.ts'
