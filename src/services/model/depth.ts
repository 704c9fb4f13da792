/** Nothing deeper than this is asked for anywhere; what is written or walked recursively must not exhaust the stack. */
export const deepestJson = 100

/** Whether a parsed value is nested deeper than that; itself without recursion. */
export function isTooDeep(value: unknown): boolean {
  let level: object[] = isNested(value) ? [value] : []
  for (let depth = 0; level.length > 0; depth++) {
    if (depth === deepestJson) return true
    level = level.flatMap(item => Object.values(item).filter(isNested))
  }
  return false
}

const isNested = (value: unknown): value is object => typeof value === 'object' && value !== null
