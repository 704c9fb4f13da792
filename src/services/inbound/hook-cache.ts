import { openHookSecret } from '../platform/index.ts'
import type { Core } from '../core.ts'
import { clearExpiredHookSecrets, findHook, type Hook } from '../store/index.ts'

/** A hook with its secrets opened: current first, then the one still in rotation. */
export interface OpenHook {
  hook: Hook
  secrets(): string[]
  /** Why a secret that is in force cannot be used; null where all can. */
  unreadable: Error | null
}

export interface HookCache {
  /**
   * From memory where possible. What is remembered proves nothing by itself: `storeDeliveries` checks that it is
   * still in force.
   */
  get(hookKey: string): Promise<OpenHook | null>
  /** Reads the hook again, and forgets it where it is gone. */
  refresh(hookKey: string): Promise<OpenHook | null>
  /** Whether a secret opens with the keys there are. */
  opens(owner: Pick<Hook, 'id' | 'tenant_id'>, sealed: string): Promise<boolean>
}

/** Keys are 22 characters of base64url; what cannot be one is not looked up, and never reaches a query. */
const keyPattern = /^[\w-]{8,64}$/
const keepAtMost = 2_000

/** Opened secrets of the hooks that were called last, so that a delivery costs one statement and no unsealing. */
export function createHookCache(core: Core): HookCache {
  const kept = new Map<string, OpenHook>()

  /** The hook without a replaced secret whose time is over: whoever has it sealed with a key of old is not held up by it. */
  async function withoutExpired(hook: Hook): Promise<Hook> {
    if (hook.hook_secret_previous === null || untilOf(hook) > core.now().getTime()) return hook
    // By the database's clock it may not be over yet: then it stays, unopened.
    if ((await clearExpiredHookSecrets(core.database, hook.id)) === 0) return hook
    return { ...hook, hook_secret_previous: null, hook_previous_until: null }
  }

  async function open(found: Hook): Promise<OpenHook> {
    const hook = await withoutExpired(found)
    let unreadable: Error | null = null
    const read = async (column: 'hook_secret' | 'hook_secret_previous'): Promise<string | null> => {
      if (hook[column] === null) return null
      try {
        const { secret, sealed } = await openHookSecret(core, hook, column, hook[column])
        hook[column] = sealed
        return secret
      } catch (error) {
        unreadable = error as Error
        core.log.warn({ err: error, connectionId: hook.id }, 'a webhook secret cannot be opened')
        return null
      }
    }
    const until = untilOf(hook)
    const current = await read('hook_secret')
    const previous = until > core.now().getTime() ? await read('hook_secret_previous') : null
    return {
      hook,
      unreadable,
      secrets: () => [current, until > core.now().getTime() ? previous : null].filter(secret => secret !== null)
    }
  }

  async function refresh(hookKey: string): Promise<OpenHook | null> {
    kept.delete(hookKey)
    const hook = keyPattern.test(hookKey) ? await findHook(core.database, hookKey) : null
    if (hook === null) return null
    const opened = await open(hook)
    kept.set(hookKey, opened)
    if (kept.size > keepAtMost) kept.delete(kept.keys().next().value!)
    return opened
  }

  return {
    refresh,
    get: async hookKey => kept.get(hookKey) ?? (await refresh(hookKey)),
    opens: (owner, sealed) =>
      openHookSecret(core, owner, 'hook_secret', sealed).then(
        () => true,
        () => false
      )
  }
}

function untilOf(hook: Hook): number {
  return hook.hook_previous_until === null ? 0 : new Date(hook.hook_previous_until as string).getTime()
}
