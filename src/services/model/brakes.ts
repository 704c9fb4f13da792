/**
 * When a loss, or a move, is so large that it may only be done when a person has confirmed it. Brakes come after
 * doubts: `force` confirms that a loss is meant, never that a list was complete.
 */

/** Above both, it needs a person. */
const brakeRows = 10
const brakeShare = 0.2

/** More than 10 and more than 20 % of what there is. */
export function isMassive(count: number, of: number): boolean {
  return count > brakeRows && count > of * brakeShare
}

export interface Loss {
  /** Records that would go and are a loss. */
  lost: number
  /** Records whose going would be a loss, as many as were known before the read. */
  known: number
  /** Records that the read showed at all. */
  seen: number
}

/** A large loss, or one that follows from a list with nothing in it. */
export function isMassRemoval({ lost, known, seen }: Loss): boolean {
  return isMassive(lost, known) || (seen === 0 && lost > 0)
}

/** What makes an organization worth something to the host. */
export interface Worth {
  /** Living devices in it. */
  devices: number
  /** Somebody mapped or excluded it, or switched its sync off. */
  decided: boolean
  /** Its client has another group by now. */
  linkedElsewhere: boolean
  /** It was read from another installation than the one that is read now. */
  ofAnotherServer: boolean
}

/** Whether the host would lose something with it: a group that is empty and nobody's may go, whatever their number. */
export function isLoss({ devices, decided, linkedElsewhere, ofAnotherServer }: Worth): boolean {
  return !linkedElsewhere && !ofAnotherServer && (devices > 0 || decided)
}

/** A device that leaves its client because of what the platform says. */
export interface Move {
  externalId: string
  displayName: string
  from: string
  /** Null: to no client. */
  to: string | null
}

/** The move in words, for the operator. */
export function tellMove({ displayName, from, to }: Move): string {
  return `${displayName} would move from client ${from} to ${to === null ? 'no client' : `client ${to}`}`
}
