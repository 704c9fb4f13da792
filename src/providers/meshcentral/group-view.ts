import type { Frame } from './correlate.ts'
import { isObject } from './frames.ts'

/**
 * The device groups as a session has listed them, kept up by what is pushed to it. The server pushes a change before
 * it answers the request that made it: what became of a change is known without reading the whole list again.
 */
export class GroupView {
  private readonly groups = new Map<unknown, Frame>()

  /** Every frame, as soon as it comes: a list that is taken up later would undo what was pushed after it. */
  take(frame: Frame): void {
    if (frame['action'] === 'meshes' && Array.isArray(frame['meshes'])) this.fill(frame['meshes'].filter(isObject))
    else if (frame['action'] === 'event' && isObject(frame['event'])) this.follow(frame['event'])
  }

  /** Undefined where the list did not show it, or it is gone since. */
  get(id: string): Frame | undefined {
    return this.groups.get(id)
  }

  private fill(meshes: Frame[]): void {
    this.groups.clear()
    // Without the links: they name every account of every group.
    for (const { _id, name, desc, mtype, creation } of meshes)
      this.groups.set(_id, { _id, name, desc, mtype, creation })
  }

  private follow({ action, meshid, name, desc }: Frame): void {
    const known = this.groups.get(meshid)
    if (known === undefined) return
    if (action === 'deletemesh') this.groups.delete(meshid)
    else if (action === 'meshchange') this.groups.set(meshid, { ...known, name, desc })
  }
}
