export interface PlacesOptions {
  /** Pieces of work that may be under way at once. */
  places: number
  /** From when on one of them counts as slow, in milliseconds. */
  slowMs: number
  /** A place may be free. */
  onFree?(): void
}

/**
 * A limit on what is done at once that slow ones cannot use up. A piece of work that takes long gives its place to the
 * next and goes on beside it; its key is remembered, and from then on has to find one of as many places for slow ones.
 * The first quick piece of work makes a key quick again.
 */
export interface Places {
  /** Begins `work`, which must not reject, and resolves with it; null where there is no place, or the key has one. */
  begin(key: string, work: () => Promise<void>): Promise<void> | null
  /** The same as soon as there is a place. Asked for twice before it begins, it is done once. */
  enter(key: string, work: () => Promise<void>): Promise<void>
  has(key: string): boolean
  /** Places for keys that are not known to be slow. */
  room(): number
  /** Keys that would get no place now: slow ones, while there are enough of those. */
  turnedAway(): string[]
  /** Forgets who waits; resolves when nothing is under way. */
  close(): Promise<void>
}

/** Keys remembered as slow; more are not slow all at once. */
const rememberedAtMost = 10_000

export function createPlaces({ places, slowMs, onFree }: PlacesOptions): Places {
  const under = new Map<string, { slow: boolean; done: Promise<void> }>()
  const waiting = new Map<string, { work: () => Promise<void>; begun: PromiseWithResolvers<void> }>()
  const slow = new Set<string>()
  const taken = (byslow: boolean): number => [...under.values()].filter(one => one.slow === byslow).length

  function free(): void {
    for (const [key, { work, begun }] of waiting) {
      const done = begin(key, work)
      if (done === null) continue
      waiting.delete(key)
      begun.resolve(done)
    }
    onFree?.()
  }

  function begin(key: string, work: () => Promise<void>): Promise<void> | null {
    if (under.has(key) || taken(slow.has(key)) >= places) return null
    const one = { slow: slow.has(key), done: Promise.resolve() }
    const timer = setTimeout(() => {
      if (slow.size < rememberedAtMost) slow.add(key)
      one.slow = true
      free()
    }, slowMs)
    const began = Date.now()
    under.set(key, one)
    one.done = work().finally(() => {
      clearTimeout(timer)
      if (Date.now() - began < slowMs) slow.delete(key)
      under.delete(key)
      free()
    })
    return one.done
  }

  return {
    begin,
    enter(key, work) {
      const joined = waiting.get(key)
      if (joined !== undefined) return joined.begun.promise
      const done = begin(key, work)
      if (done !== null) return done
      const begun = Promise.withResolvers<void>()
      waiting.set(key, { work, begun })
      return begun.promise
    },
    has: key => under.has(key),
    room: () => Math.max(0, places - taken(false)),
    turnedAway: () => (taken(true) >= places ? [...slow] : []),
    async close() {
      for (const { begun } of waiting.values()) begun.resolve()
      waiting.clear()
      await Promise.allSettled([...under.values()].map(({ done }) => done))
    }
  }
}
