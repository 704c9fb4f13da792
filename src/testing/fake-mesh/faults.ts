import type { MeshDoc } from './documents.ts'

/**
 * What may be wrong with a list of groups (`meshes`) or devices (`nodes`):
 *
 * - `html`: a page of HTML in its place;
 * - `malformed-record`: of one record only the id is as documented; `unidentified-record`: it has no id;
 * - `short-list`: half of it is missing.
 */
export type MeshFaultKind = 'html' | 'malformed-record' | 'unidentified-record' | 'short-list'

export interface MeshFault {
  action: 'meshes' | 'nodes'
  kind: MeshFaultKind
}

const malformed = (doc: MeshDoc): MeshDoc =>
  Object.fromEntries(Object.entries(doc).map(([key, value]) => [key, key === '_id' ? value : { odd: [0] }]))

function alterList(docs: MeshDoc[], kind: MeshFaultKind): MeshDoc[] {
  if (kind === 'short-list') return docs.slice(0, docs.length >> 1)
  const middle = docs.length >> 1
  return docs.map((doc, at) => (at !== middle ? doc : kind === 'malformed-record' ? malformed(doc) : without(doc)))
}

const without = ({ _id: _, ...doc }: MeshDoc): MeshDoc => doc

/** The reply as a faulty server gives it; frames of other actions stay as they are. */
export function alter(frame: MeshDoc, { action, kind }: MeshFault): MeshDoc {
  if (frame['action'] !== action) return frame
  if (kind === 'html') return { ...frame, [action]: '<!doctype html><title>Maintenance</title>' }
  const list = frame[action]
  if (Array.isArray(list)) return { ...frame, [action]: alterList(list as MeshDoc[], kind) }
  const groups = Object.entries((list ?? {}) as Record<string, MeshDoc[]>)
  const altered = groups.map(([id, docs], at) => [id, at === 0 || kind === 'short-list' ? alterList(docs, kind) : docs])
  return { ...frame, [action]: Object.fromEntries(altered) }
}
