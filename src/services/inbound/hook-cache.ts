import { sealedFor } from '../platform/index.ts'
import type { Core } from '../core.ts'
import { findHook, type Hook } from '../store/index.ts'

/** A hook with its secrets opened: current first, then the one still in rotation. */
export interface OpenHook {
  hook: Hook
  secrets(): string[]
}

export interface HookCache {
  /**
   * From memory where possible. What is remembered proves nothing by itself: `storeDeliveries` checks that it is
   * still in force.
   */
  get(hookKey: string): Promise<OpenHook | null>
  /** Reads the hook again, and forgets it where it is gone. */
  refresh(hookKey: string): Promise<OpenHook | null>
}

/** Keys are 22 characters of base64url; what cannot be one is not looked up, and never reaches a query. */
const keyPattern = /^[\w-]{8,64}$/
const keepAtMost = 2_000

/** Opened secrets of the hooks that were called last, so that a delivery costs one statement and no unsealing. */
export function createHookCache(core: Core): HookCache {
  const kept = new Map<string, OpenHook>()

  async function open(hook: Hook): Promise<OpenHook> {
    const aad = sealedFor(hook)
    const current = hook.hook_secret === null ? null : await core.secrets.open(hook.hook_secret, aad)
    const previous = hook.hook_secret_previous === null ? null : await core.secrets.open(hook.hook_secret_previous, aad)
    const until = hook.hook_previous_until === null ? 0 : new Date(hook.hook_previous_until as string).getTime()
    return {
      hook,
      secrets: () =>
        current === null ? [] : previous !== null && until > core.now().getTime() ? [current, previous] : [current]
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
    get: async hookKey => kept.get(hookKey) ?? (await refresh(hookKey))
  }
}
