import { ValidationError } from '../../errors.ts'
import type { Schedule } from '../../types.ts'

export const defaultSchedule: Schedule = { enabled: false, everyMinutes: 60, fullEveryMinutes: 1440 }
const minMinutes = 15
const maxMinutes = 1440

/** Any interval from 15 minutes to a day is honoured as given; the full one may be as long as a week. */
export function mergeSchedule(current: Schedule, change: Partial<Schedule> | undefined): Schedule {
  const schedule = { ...current, ...change }
  if (
    !Number.isInteger(schedule.everyMinutes) ||
    schedule.everyMinutes < minMinutes ||
    schedule.everyMinutes > maxMinutes
  ) {
    throw new ValidationError(
      `schedule.everyMinutes is ${schedule.everyMinutes}; it must be a whole number from ${minMinutes} to ${maxMinutes}`
    )
  }
  if (change?.everyMinutes !== undefined && change.fullEveryMinutes === undefined)
    schedule.fullEveryMinutes = Math.max(schedule.fullEveryMinutes, schedule.everyMinutes)
  if (
    !Number.isInteger(schedule.fullEveryMinutes) ||
    schedule.fullEveryMinutes < schedule.everyMinutes ||
    schedule.fullEveryMinutes > 7 * maxMinutes
  ) {
    throw new ValidationError(
      `schedule.fullEveryMinutes is ${schedule.fullEveryMinutes}; it must be a whole number from everyMinutes (${schedule.everyMinutes}) to ${7 * maxMinutes}`
    )
  }
  return schedule
}
