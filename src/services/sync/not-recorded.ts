import type { Checkpoint } from '../../providers/define.ts'

/** Something that a plan has to ask the platform for before it can be worked out. */
export class NotRecorded extends Error {
  readonly part: string
  readonly ids: readonly string[]
  readonly from: Checkpoint | null
  constructor(part: string, ids: readonly string[] = [], from: Checkpoint | null = null) {
    super(`${part} was not recorded`)
    this.part = part
    this.ids = ids
    this.from = from
  }
}
