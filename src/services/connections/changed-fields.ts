import type { FieldChange, Schedule } from '../../types.ts'
import { shownConfig, stableJson } from '../model/index.ts'
import type { ConnectionPatch, ConnectionRow } from '../store/index.ts'

export function scheduleOf(row: ConnectionRow): Schedule {
  return {
    enabled: row.schedule_enabled,
    everyMinutes: Number(row.every_minutes),
    fullEveryMinutes: Number(row.full_every_minutes)
  }
}

/** The names under `prefix` whose values differ. */
function differing(prefix: string, from: object, to: object): string[] {
  const text = (record: object, name: string) => stableJson((record as Record<string, unknown>)[name] ?? null)
  const names = [...new Set([...Object.keys(from), ...Object.keys(to)])].sort()
  return names.filter(name => text(from, name) !== text(to, name)).map(name => `${prefix}.${name}`)
}

/**
 * The names of what a patch really changes, e.g. `config.url`, `schedule.enabled`. Secrets are one name, and count as
 * changed when they were given: what they are is nobody's to compare.
 */
export function changedFields(row: ConnectionRow, patch: ConnectionPatch): string[] {
  return [
    ...(patch.name !== undefined && patch.name !== row.name ? ['name'] : []),
    ...(patch.config === undefined ? [] : differing('config', row.config, patch.config)),
    ...(patch.sealedSecrets === undefined ? [] : ['secrets']),
    ...(patch.schedule === undefined ? [] : differing('schedule', scheduleOf(row), patch.schedule)),
    ...(patch.movePolicy !== undefined && patch.movePolicy !== row.move_policy ? ['movePolicy'] : [])
  ]
}

/** The same with their values, as they may be shown: of secrets there are none. */
export function fieldChanges(row: ConnectionRow, patch: ConnectionPatch, fields: string[]): FieldChange[] {
  const state = (config: Record<string, unknown>, rest: Record<string, unknown>): Record<string, unknown> => ({
    ...Object.fromEntries(Object.entries(shownConfig(config)).map(([name, value]) => [`config.${name}`, value])),
    ...rest
  })
  const scheduled = (schedule: Schedule) =>
    Object.fromEntries(Object.entries(schedule).map(([name, value]) => [`schedule.${name}`, value]))
  const before = state(row.config, { name: row.name, movePolicy: row.move_policy, ...scheduled(scheduleOf(row)) })
  const after = state(patch.config ?? row.config, {
    name: patch.name,
    movePolicy: patch.movePolicy,
    ...scheduled(patch.schedule ?? scheduleOf(row))
  })
  return fields.map(field => ({ field, from: before[field] ?? null, to: after[field] ?? null }))
}
