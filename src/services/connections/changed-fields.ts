import type { Schedule } from '../../types.ts'
import { stableJson } from '../model/index.ts'
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
