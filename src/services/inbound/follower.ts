import { setTimeout as delay } from 'node:timers/promises'
import type { Hint } from '../../providers/define.ts'
import type { Core } from '../core.ts'
import { type Setback, subjectOf, type UsableHint, usableHint } from '../model/index.ts'
import type { OpenClient } from '../platform/index.ts'
import type { ConnectionRow } from '../store/index.ts'
import type { Hints } from './hints.ts'

const collectMs = 1_000
/** Sentences about unusable hints that one socket may log. */
const mostRefusals = 20

export interface Follower {
  add(told: Hint): void
  /** Resolves when nothing is being read. */
  settled(): Promise<void>
}

const keyOf = (hint: UsableHint): string => subjectOf(hint.resource, hint.externalId)

/** Gathers the hints of one push socket and follows them a batch at a time, until the socket is `lost`. */
export function createFollower(
  core: Core,
  hints: Hints,
  mine: { row: ConnectionRow; signal: AbortSignal },
  open: OpenClient,
  lost: AbortSignal
): Follower {
  const collected = new Map<string, UsableHint>()
  let following: Promise<void> | undefined
  const refused = new Set<string>()
  /** Once per socket and sentence: a provider that is wrong is so with every push. */
  function refuse(why: string): void {
    if (refused.size >= mostRefusals || refused.has(why)) return
    refused.add(why)
    core.log.warn({ connectionId: mine.row.id }, `${why}; what it is about is read with the next sync`)
  }
  // What comes in while a batch is read is the next one; what has to wait for a run is part of it.
  async function follow(): Promise<void> {
    for (let waitMs = collectMs; collected.size > 0; ) {
      await delay(waitMs, undefined, { signal: lost }).catch(() => {})
      if (lost.aborted) return
      const batch = [...collected.values()]
      collected.clear()
      const failed: Setback[] = []
      waitMs = collectMs
      const ended = await hints.follow(mine.row, hints.subjects(mine.row, batch), {
        signal: mine.signal,
        using: open,
        told(subject, trouble) {
          if (trouble === null) return
          if (trouble.fault !== 'wait') failed.push(trouble)
          else {
            waitMs = Math.max(waitMs, trouble.retryMs)
            for (const hint of hints.subjects(mine.row, batch).get(subject) ?? [])
              if (!collected.has(keyOf(hint))) collected.set(keyOf(hint), hint)
          }
        }
      })
      if (ended !== null) failed.push(ended)
      if (failed.length > 0 && !lost.aborted)
        core.log.warn(
          { connectionId: mine.row.id, failed: failed.length, reason: failed[0]!.reason },
          'pushed changes could not be re-read; the next sync repairs them'
        )
    }
  }
  return {
    add(told: Hint): void {
      const hint = usableHint(told, open.provider)
      if (typeof hint === 'string') {
        refuse(hint)
        return
      }
      // That something is gone is not forgotten because it also changed.
      const known = collected.get(keyOf(hint))
      if (known?.kind !== 'deleted') collected.set(keyOf(hint), hint)
      following ??= follow()
        .catch(error =>
          core.log.warn(
            { err: error, connectionId: mine.row.id },
            'pushed changes could not be followed; the next sync repairs them'
          )
        )
        .finally(() => {
          following = undefined
        })
    },
    settled: async (): Promise<void> => await following
  }
}
