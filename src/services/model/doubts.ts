/**
 * Whether a list that came to its end was all there is. What it did not show is doubted before anything is concluded
 * from it: it is asked for one by one, or, where that cannot be done, has to be missing from two complete reads.
 */

/** What speaks against a list, beside a living record that it did not show. */
export interface Signs {
  /** Records that could not be told apart: any that is missing may be one of them. */
  unidentified: number
  /** It ended with an empty page after one that said that there was more. */
  endedEmpty: boolean
  /** Records that were on more than one page: the order moved, and others may have slipped through. */
  repeated: number
}

/** The signs in words, for the operator; empty where there is none. */
export function tellSigns({ unidentified, endedEmpty, repeated }: Signs): string[] {
  const signs: string[] = []
  if (endedEmpty) signs.push('its last page was empty although the one before it said that there was more')
  if (repeated > 0)
    signs.push(`${repeated} ${repeated === 1 ? 'record was' : 'records were'} on more than one page: its order moved`)
  if (unidentified > 0)
    signs.push(`${unidentified} ${unidentified === 1 ? 'record has' : 'records have'} no id that can be used`)
  return signs
}

/** So many are asked for before a loss is called large, or small: if the list was short, one of them will live. */
export const sampleSize = 25

/**
 * The order in which missing records are asked for: as they come where the sample takes them all, otherwise the first
 * and the last (a list that was cut has lost one end), then at random.
 */
export function askingOrder(ids: readonly string[], random: () => number = Math.random): string[] {
  if (ids.length <= sampleSize) return [...ids]
  const middle = ids.slice(1, -1)
  for (let n = middle.length - 1; n > 0; n--) {
    const other = Math.floor(random() * (n + 1))
    ;[middle[n], middle[other]] = [middle[other]!, middle[n]!]
  }
  return [ids[0]!, ids.at(-1)!, ...middle]
}

/** Records that complete reads in a row did not show: the id, and when the first of those reads ended (ISO 8601). */
export type Missed = ReadonlyMap<string, string>

/**
 * For records that cannot be asked for: gone are those that an earlier complete read did not show either, if it ended
 * at least `apartMs` before this one began. The others are remembered for the next.
 */
export function missAgain(
  missed: Missed,
  absent: readonly string[],
  { startedAt, endedAt, apartMs }: { startedAt: Date; endedAt: Date; apartMs: number }
): { gone: string[]; missed: Missed } {
  const gone: string[] = []
  const again = new Map<string, string>()
  for (const id of absent) {
    const since = missed.get(id)
    if (since !== undefined && Date.parse(since) + apartMs <= startedAt.getTime()) gone.push(id)
    else again.set(id, since ?? endedAt.toISOString())
  }
  return { gone, missed: again }
}
