import type { MovePolicy } from '../../types.ts'
import type { Assignment } from './tree.ts'

export interface Belonging {
  clientRef: string | null
  assignment: Assignment
}

export interface Assigned extends Belonging {
  /** What the host is told of; null where its view did not change. */
  change: 'created' | 'moved' | null
  /** Why the device stayed where it was although its organization says otherwise. */
  held: string | null
}

/**
 * Decides to which client a device belongs, given where its organization says it should be.
 * `hold` keeps a device with its client when the platform moved it; an organization that holds keeps it in any case.
 */
export function assign(
  current: Belonging & { assetRef: string | null },
  target: Belonging,
  policy: MovePolicy
): Assigned {
  if (target.assignment === 'held') {
    return {
      clientRef: current.clientRef,
      assignment: 'held',
      change: null,
      held: 'automatic sync is off for its organization, or the client it is mapped to is gone'
    }
  }
  if (current.clientRef === target.clientRef) return { ...target, change: null, held: null }
  if (current.clientRef !== null && policy === 'hold') {
    const to = target.clientRef === null ? 'no client' : `client ${target.clientRef}`
    return {
      clientRef: current.clientRef,
      assignment: 'held',
      change: null,
      held: `the platform moved it to ${to}; the connection's move policy is hold`
    }
  }
  const first = current.clientRef === null && current.assetRef === null
  return { ...target, change: first ? 'created' : 'moved', held: null }
}
