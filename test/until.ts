import { setTimeout as delay } from 'node:timers/promises'

type Look<T> = () => T | Promise<T>
type Found<T> = Exclude<T, false | null | undefined | 0 | '' | void>

/** Far longer than anything takes on a busy machine: it only tells a test that hangs from one that is slow. */
const patienceMs = 60_000
/** From looking at once to looking now and then: most things are there soon, and every look costs. */
const firstMs = 2
const longestMs = 100

/**
 * Waits until `look` finds something, and returns that. `what` names it where it never comes; without a name the text
 * of the function does. The only way tests wait: a time that is long enough today is too short on a busy machine.
 */
export async function until<T>(look: Look<T>): Promise<Found<T>>
export async function until<T>(what: string, look: Look<T>, ms?: number): Promise<Found<T>>
export async function until<T>(first: string | Look<T>, second?: Look<T>, ms = patienceMs): Promise<Found<T>> {
  const look = typeof first === 'string' ? second! : first
  const end = performance.now() + ms
  for (let wait = firstMs; ; wait = Math.min(wait * 1.4, longestMs)) {
    const found = await look()
    if (found) return found as Found<T>
    if (performance.now() > end) throw new Error(`waited ${ms} ms in vain for ${first}`)
    await delay(wait)
  }
}

/** Looks again and again for `ms`: that something does not happen can only be watched for a while. */
export async function stays(what: string, ms: number, look: Look<boolean>): Promise<void> {
  for (const end = performance.now() + ms; performance.now() < end; await delay(Math.min(ms / 10, longestMs)))
    if (!(await look())) throw new Error(`did not stay: ${what}`)
}

/** Makes something slow, or chooses a moment to strike. Nothing is waited for with it: see `until`. */
export async function pause(ms: number, signal?: AbortSignal): Promise<void> {
  await delay(ms, undefined, signal === undefined ? {} : { signal })
}
