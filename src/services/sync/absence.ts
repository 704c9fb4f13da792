import { MassRemovalError } from '../../errors.ts'
import type { ResourceName, RunItem } from '../../types.ts'
import {
  askingOrder,
  isLoss,
  isMassRemoval,
  type Loss,
  missAgain,
  type Missed,
  sampleSize,
  tellSigns
} from '../model/index.ts'
import {
  ofDeletedOrganizations,
  type OpenUpdate,
  organizationWorth,
  type Pass,
  repeatedRecords,
  showsTheSame,
  unseen,
  type Unseen,
  unseenAlerts
} from '../store/index.ts'
import { ask, isAsked, lives, type Words } from './asking.ts'
import type { AnyResource, Normal } from './prepare.ts'
import type { Reading } from './reading.ts'
import { seesPart } from './sight.ts'

/** What may be concluded from what a read that came to its end did not show. */
export interface Verdict {
  /** Why the list cannot have been all there is; null where nothing speaks against it. */
  doubt: string | null
  gone: string[]
  /** What was seen after this is not gone. */
  goneBefore: Date
  /** Records that the list did not show, as a single read told them. */
  alive: Normal[]
  /** What the platform itself called deleted, and when. */
  deleted: Array<[string, string]>
  /** Records that the account may only not see any more. */
  outOfSight: string[]
  /** Updates that count although the list did not show them. */
  kept: OpenUpdate[]
  /** What was missing and could not be asked for; the next read decides. */
  missed: Missed
  items: RunItem[]
  /** Why a person has to confirm it first. */
  blocked: Error | null
}

/** Open alerts asked for in one run; what is left is asked for in the next. */
const alertsAtMost = 200

export function nothing(pass: Pass): Verdict {
  return {
    doubt: null,
    gone: [],
    goneBefore: pass.startedAt,
    alive: [],
    deleted: [],
    outOfSight: [],
    kept: [],
    missed: new Map(),
    items: [],
    blocked: null
  }
}

/**
 * What speaks against the list itself; null where nothing does. A record that is on two pages, and with `counted` one
 * without an id, is no sign where a second read has shown exactly the same: then the list is like that.
 */
export async function doubtOf({ core }: Reading, pass: Pass, counted = false): Promise<string | null> {
  const { unidentified, endedEmpty } = pass.notes
  const repeated = await repeatedRecords(core.database, pass)
  const signs = { unidentified, endedEmpty, repeated }
  if (
    pass.doubtedId !== null &&
    !endedEmpty &&
    repeated + unidentified > 0 &&
    (await showsTheSame(core.database, pass))
  ) {
    signs.repeated = 0
    if (counted) signs.unidentified = 0
  }
  const told = tellSigns(signs)
  return told.length === 0 ? null : told.join('; ')
}

/** What is known of the words on these records so far. */
export function heard(pass: Pass, words: Words, ids: readonly string[]): Verdict {
  return {
    ...nothing(pass),
    gone: ids.filter(id => words.gone.has(id)),
    goneBefore: words.askedAt ?? pass.startedAt,
    alive: ids.flatMap(id => words.alive.get(id) ?? []),
    items: ids.flatMap(id => words.unsure.get(id) ?? [])
  }
}

/** Devices and organizations that a complete list did not show. */
export async function judgeRecords(
  reading: Reading,
  pass: Pass,
  name: 'organizations' | 'devices',
  words: Words
): Promise<Verdict> {
  const unshown = await unseen(reading.core.database, reading.context.connectionId, pass, name)
  // What the platform called deleted needs no further word.
  const deleted = new Set(pass.notes.deleted.map(([id]) => id))
  const absent = { ...unshown, gone: unshown.gone.filter(id => !deleted.has(id)) }
  if (absent.gone.length === 0) return nothing(pass)
  if (pass.notes.partial) return await judgeSight(reading, pass, name, absent, words)
  if (!isAskable(reading, name)) return await judgeUnasked(reading, pass, name, absent)
  const verdict = await judgeAsked(reading, pass, name, absent, words)
  // Rights that were lost between the list and the question look like a deletion.
  if (verdict.gone.length === 0 || !(await seesPart(reading))) return verdict
  pass.notes.partial = true
  return await judgeSight(reading, pass, name, absent, words)
}

export function isAskable({ provider }: Reading, name: ResourceName): boolean {
  return (provider.resources[name] as AnyResource).fetchOne !== undefined
}

async function judgeAsked(
  reading: Reading,
  pass: Pass,
  name: 'organizations' | 'devices',
  absent: Unseen,
  words: Words
): Promise<Verdict> {
  await ask(reading, name, askingOrder(absent.gone).slice(0, sampleSize), words)
  const verdict = heard(pass, words, absent.gone)
  // What cannot be told apart is missing by its own fault: then every record stands for itself, and only for itself.
  const unidentified = pass.notes.unidentified > 0
  if (verdict.alive.some(lives) && !unidentified) return { ...verdict, doubt: tellShort(name, absent, words) }
  const unasked = absent.gone.filter(id => !isAsked(words, id))
  const doubt = unasked.length > 0 && !unidentified ? await doubtOf(reading, pass) : null
  if (doubt !== null && pass.doubtedId === null) return { ...verdict, doubt }
  const blocked =
    unidentified || verdict.gone.length === 0
      ? await brake(reading, pass, name, { ...absent, gone: verdict.gone })
      : await brake(reading, pass, name, { ...absent, gone: absent.gone.filter(id => !words.unsure.has(id)) })
  if (blocked !== null) return { ...verdict, gone: [], blocked }
  // A sample speaks for the others where it was of one voice and nothing else speaks against the list.
  if (!unidentified && doubt === null && verdict.gone.length > 0 && verdict.items.length === 0)
    return { ...verdict, gone: absent.gone }
  if (unasked.length > 0) verdict.items.push(tellUnasked(name, unasked.length, doubt))
  return verdict
}

function tellUnasked(name: ResourceName, count: number, doubt: string | null): RunItem {
  const why =
    doubt === null ? 'what was asked for others does not speak for them' : `of the list nobody can be sure (${doubt})`
  const reason = `${count} more ${name} are not in the list and were not asked for, and ${why}; they stay, and the next run looks again`
  return { resource: name, externalId: null, outcome: 'ambiguous', reason }
}

function tellShort(name: ResourceName, { gone }: Pick<Unseen, 'gone'>, words: Words): string {
  const alive = gone.filter(id => lives(words.alive.get(id)))
  return `${gone.length} known ${name} are missing from the list, and of those asked for ${alive.length} ${alive.length === 1 ? 'is' : 'are'} still there (${alive.slice(0, 5).join(', ')}${alive.length > 5 ? ', …' : ''})`
}

/** Records that cannot be asked for one by one: two complete reads in a row have to miss them. */
async function judgeUnasked(
  reading: Reading,
  pass: Pass,
  name: 'organizations' | 'devices',
  absent: Unseen
): Promise<Verdict> {
  const doubt = await doubtOf(reading, pass)
  if (doubt !== null) return { ...nothing(pass), doubt }
  const { gone, missed } = missNow(reading, pass, absent.gone)
  const blocked = await brake(reading, pass, name, absent)
  return {
    ...nothing(pass),
    gone: blocked === null ? gone : [],
    missed,
    items: tellMissed(reading, name, pass, missed),
    blocked
  }
}

/** Alerts that are open here and that the platform's list of open ones did not show. */
export async function judgeAlerts(reading: Reading, pass: Pass, words: Words): Promise<Verdict> {
  const whole = pass.mode === 'full' && pass.notes.whole
  const askable = isAskable(reading, 'alerts')
  // A list of what changed says nothing about the rest: without a question to the platform only a full one does.
  if (pass.notes.partial || !(whole || askable)) return nothing(pass)
  const absent = await unseenAlerts(reading.core.database, reading.context.connectionId, pass)
  if (absent.length === 0) return nothing(pass)
  if (!askable) {
    const doubt = await doubtOf(reading, pass)
    if (doubt !== null) return { ...nothing(pass), doubt }
    const { gone, missed } = missNow(reading, pass, absent)
    return { ...nothing(pass), gone, missed, items: tellMissed(reading, 'alerts', pass, missed) }
  }
  await ask(reading, 'alerts', absent.slice(0, alertsAtMost), words)
  const verdict = heard(pass, words, absent)
  const isShort = whole && pass.notes.unidentified === 0 && verdict.alive.some(lives)
  return isShort ? { ...verdict, doubt: tellShort('alerts', { gone: absent }, words) } : verdict
}

export function missNow(reading: Reading, pass: Pass, absent: string[]): { gone: string[]; missed: Missed } {
  const { core } = reading
  return missAgain(pass.missed, absent, {
    startedAt: pass.startedAt,
    endedAt: core.now(),
    apartMs: core.settings.tickMs
  })
}

export function tellMissed({ core }: Reading, name: ResourceName, pass: Pass, missed: Missed): RunItem[] {
  const fresh = [...missed.keys()].filter(id => !pass.missed.has(id))
  if (fresh.length === 0) return []
  return [
    {
      resource: name,
      externalId: fresh.length === 1 ? fresh[0]! : null,
      outcome: 'ambiguous',
      reason: `${fresh.length} ${name} are missing from the list and cannot be asked for one by one; they are gone when the next complete read, at least ${core.settings.tickMs / 1000} s later, does not show them either: ${fresh.slice(0, 10).join(', ')}${fresh.length > 10 ? ', …' : ''}`
    }
  ]
}

/**
 * Of an account that does not see everything: what the platform called deleted is gone, with what was in it; the rest is
 * out of sight.
 */
async function judgeSight(
  reading: Reading,
  pass: Pass,
  name: 'organizations' | 'devices',
  absent: Unseen,
  words: Words
): Promise<Verdict> {
  const { core, context } = reading
  const deleted =
    name === 'devices'
      ? await ofDeletedOrganizations(core.database.db, core.database.t, context.connectionId, absent.gone)
      : new Set<string>()
  const outOfSight = absent.gone.filter(id => !deleted.has(id))
  if (deleted.size === 0) return { ...nothing(pass), outOfSight }
  const among = { ...absent, gone: [...deleted] }
  const verdict = isAskable(reading, name)
    ? await judgeAsked(reading, pass, name, among, words)
    : await judgeUnasked(reading, pass, name, among)
  return { ...verdict, outOfSight }
}

/** The brake counts what would be lost, not rows. */
export async function brake(
  reading: Reading,
  pass: Pass,
  name: 'organizations' | 'devices',
  absent: Unseen
): Promise<Error | null> {
  const loss = await lossOf(reading, pass, name, absent)
  if (reading.force || !isMassRemoval(loss)) return null
  return new MassRemovalError(
    `${loss.lost} of ${loss.known} ${name} would be removed because the platform no longer lists them; if that is right, confirm it by starting a sync with force: true`
  )
}

async function lossOf(
  reading: Reading,
  pass: Pass,
  name: 'organizations' | 'devices',
  { known, seen, gone }: Unseen
): Promise<Loss> {
  if (name === 'devices') return { lost: gone.length, known, seen }
  const worth = [...(await organizationWorth(reading.core.database, reading.context.connectionId, pass))]
  const lost = new Set(gone)
  const matters = worth.filter(([, one]) => isLoss(one))
  return { lost: matters.filter(([id]) => lost.has(id)).length, known: matters.length, seen }
}
