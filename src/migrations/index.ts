import { init } from './0001_init.ts'
import { inventory } from './0002_inventory.ts'
import { truth } from './0003_truth.ts'
import { runs } from './0004_runs.ts'
import { waiting } from './0005_waiting.ts'
import { sealing } from './0006_sealing.ts'
import { actors } from './0007_actors.ts'
import { runList } from './0008_run_list.ts'
import { misread } from './0010_misread.ts'
import { mappedBy } from './0012_mapped_by.ts'
import { deaths } from './0013_deaths.ts'
import { sinks } from './0016_sinks.ts'
import { inbox } from './0017_inbox.ts'
import { retention } from './0018_retention.ts'
import { changes } from './0022_changes.ts'
import { handover } from './0023_handover.ts'
import { plans } from './0024_plans.ts'
import { drift } from './0025_drift.ts'
import { sessions } from './0026_sessions.ts'
import { kindsAndPatches } from './0027_kinds_and_patches.ts'
import { alertOrigin } from './0028_alert_origin.ts'
import type { Migration } from './migration.ts'

/** In order, oldest first. A released migration never changes. */
export const migrations: readonly Migration[] = [
  init,
  inventory,
  truth,
  runs,
  waiting,
  sealing,
  actors,
  runList,
  misread,
  mappedBy,
  deaths,
  sinks,
  inbox,
  retention,
  changes,
  handover,
  plans,
  drift,
  sessions,
  kindsAndPatches,
  alertOrigin
]
