import { AsyncLocalStorage } from 'node:async_hooks'
import { ActorError } from '../errors.ts'
import type { Actor } from '../types.ts'

/**
 * Who is behind the call that is under way. Bound to the asynchronous context of the call, so that no function has to
 * hand it on; what a call leaves running in the background has no actor.
 */
export interface Actors {
  current(): Actor | null
  /** What a host named as actor. Throws `RMM_ERR_ACTOR` where it is neither null nor `{ id, name? }`. */
  from(given: unknown): Actor | null
  /** Runs `work` with this actor; it is forgotten when the work has ended, whatever it left behind. */
  run<T>(actor: Actor | null, work: () => T): T
}

export function createActors(): Actors {
  const calls = new AsyncLocalStorage<{ actor: Actor | null }>()
  return {
    from: actorOf,
    current: () => calls.getStore()?.actor ?? null,
    run(actor, work) {
      const call = { actor }
      const forget = (): void => {
        call.actor = null
      }
      return calls.run(call, () => {
        const result = work()
        if (result instanceof Promise) result.then(forget, forget)
        return result
      })
    }
  }
}

const longestText = 500

function textOf(value: unknown): value is string {
  return (
    typeof value === 'string' &&
    value !== '' &&
    value.length <= longestText &&
    value.isWellFormed() &&
    !value.includes('\0')
  )
}

function actorOf(given: unknown): Actor | null {
  if (given === null || given === undefined) return null
  const { id, name } = given as { id?: unknown; name?: unknown }
  if (!textOf(id)) throw new ActorError(`its id must be text of 1 to ${longestText} characters`)
  if (name === null || name === undefined) return { id, name: null }
  if (!textOf(name)) throw new ActorError(`its name must be text of 1 to ${longestText} characters, or left out`)
  return { id, name }
}
