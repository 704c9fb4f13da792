/**
 * A stream of numbers from 0 up to 1, the same for the same parts. Every record has a stream of its own,
 * so that record 99,999 can be made without making those before it.
 */
export function random(...parts: number[]): () => number {
  let state = 0x2545f491
  for (const part of parts) {
    state = Math.imul(state ^ (part + 0x9e3779b9), 0x85ebca6b)
    state ^= state >>> 15
  }
  state ||= 1
  return () => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return (state >>> 0) / 0x100000000
  }
}

export const pick = <T>(next: () => number, values: readonly T[]): T => values[Math.floor(next() * values.length)]!

export const chance = (next: () => number, share: number): boolean => next() < share
