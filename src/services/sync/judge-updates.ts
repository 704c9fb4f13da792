import { askingOrder, sampleSize } from '../model/index.ts'
import { type OpenUpdate, type Pass, seenRecord, unseenUpdates } from '../store/index.ts'
import { doubtOf, isAskable, missNow, nothing, tellMissed, type Verdict } from './absence.ts'
import { ask, askingWaitMs, noWords, type Words } from './asking.ts'
import type { Reading } from './reading.ts'

/**
 * Counts are concluded from everything that a list of updates does not show: any sign against it is a doubt. Updates
 * that were open at the last complete read and are missing now count as before until they are known to be gone: by a
 * sample of single reads, or by a second complete read.
 */
export async function judgeUpdates(reading: Reading, pass: Pass, words: Words): Promise<Verdict> {
  const doubt = await doubtOf(reading, pass, true)
  if (doubt !== null) return { ...nothing(pass), doubt }
  const absent = await unseenUpdates(reading.core.database, pass)
  if (absent.length === 0) return nothing(pass)
  const ids = absent.map(update => update.externalId)
  if (isAskable(reading, 'updates')) {
    const sample = askingOrder(ids).slice(0, sampleSize)
    await ask(reading, 'updates', sample, words)
    const alive = sample.filter(id => words.alive.has(id))
    if (alive.length > 0)
      return {
        ...nothing(pass),
        doubt: `${ids.length} open updates are missing from the list, and of ${sample.length} asked for ${alive.length} ${alive.length === 1 ? 'is' : 'are'} still open`
      }
    if (await isWitness(reading, pass)) return heardOf(pass, absent, words)
  }
  const { gone, missed } = missNow(reading, pass, ids)
  const over = new Set(gone)
  return {
    ...nothing(pass),
    missed,
    kept: absent.filter(({ externalId }) => !over.has(externalId)),
    items: tellMissed(reading, 'updates', pass, missed)
  }
}

/** What nobody was asked of counts as what the others turned out to be, if they told anything. */
function heardOf(pass: Pass, absent: OpenUpdate[], words: Words): Verdict {
  const told = absent.some(({ externalId }) => words.gone.has(externalId))
  return {
    ...nothing(pass),
    kept: absent.filter(({ externalId }) => !told || words.unsure.has(externalId)),
    items: [...words.unsure.values()]
  }
}

/**
 * Not every platform that lists updates knows them one by one: who does not know one that the list has just shown is no
 * witness.
 */
async function isWitness(reading: Reading, pass: Pass): Promise<boolean> {
  const shown = await seenRecord(reading.core.database, pass)
  if (shown === null) return false
  const words = noWords(askingWaitMs)
  await ask(reading, 'updates', [shown], words)
  return words.alive.has(shown)
}
