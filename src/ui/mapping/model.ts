import { type Placement, placeAll } from '../../services/model/tree.ts'
import type { MappingMode, Organization } from '../../types.ts'

/**
 * What the operator wants an organization to be, not saved yet. A mapped one without client is still being filled in.
 */
export interface Choice {
  mode: MappingMode
  clientRef: string | null
}
export type Draft = ReadonlyMap<string, Choice>

export interface Node {
  organization: Organization
  parent: Node | null
  children: Node[]
  depth: number
}

/**
 * The tree as the list shows it: parents before their children, names in the reader's order; cycles and lost parents
 * are survived.
 */
export function treeOf(organizations: Organization[], locale: string): Node[] {
  const compare = new Intl.Collator(locale, { numeric: true }).compare
  const present = organizations.filter(({ removedAt }) => removedAt === null)
  const sorted = present.toSorted((a, b) => compare(a.name, b.name) || compare(a.id, b.id))
  const known = new Map(present.map(organization => [organization.externalId, organization]))
  const below = Map.groupBy(sorted, ({ parentExternalId }) =>
    parentExternalId !== null && known.has(parentExternalId) ? parentExternalId : null
  )
  const nodes: Node[] = []
  const seen = new Set<string>()
  const add = (organization: Organization, parent: Node | null) => {
    // Not recursive: a platform may nest deeper than the stack.
    const waiting: Array<[Organization, Node | null]> = [[organization, parent]]
    for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
      const [at, above] = next
      if (seen.has(at.id)) continue
      seen.add(at.id)
      const node: Node = { organization: at, parent: above, children: [], depth: above === null ? 0 : above.depth + 1 }
      above?.children.push(node)
      nodes.push(node)
      for (const child of (below.get(at.externalId) ?? []).toReversed()) waiting.push([child, node])
    }
  }
  for (const root of below.get(null) ?? []) add(root, null)
  for (const rest of sorted) add(rest, null)
  return nodes
}

export const choiceOf = (organization: Organization, draft: Draft): Choice =>
  draft.get(organization.id) ?? organization.mapping

/** Whether a choice differs from what is stored. */
export const differs = ({ mapping }: Organization, { mode, clientRef }: Choice) =>
  mapping.mode !== mode || (mode === 'mapped' && mapping.clientRef !== clientRef)

/** The engine's own rule, so that the preview cannot tell another story than the save. By external id. */
export function place(organizations: Organization[], draft: Draft): Map<string, Placement> {
  return placeAll(
    organizations.map(organization => ({
      externalId: organization.externalId,
      parentExternalId: organization.parentExternalId,
      name: organization.name,
      ...choiceOf(organization, draft),
      autoSync: organization.autoSync,
      removed: organization.removedAt !== null
    }))
  )
}

/** Devices, by what happens to them. */
export interface Effect {
  gained: number
  moved: number
  lost: number
  held: number
}
const nothing = (): Effect => ({ gained: 0, moved: 0, lost: 0, held: 0 })
export const touched = ({ gained, moved, lost, held }: Effect) => gained + moved + lost + held

export interface Effects {
  total: Effect
  /** By the id of the changed organization that causes it. */
  by: Map<string, Effect>
}

const clientOf = ({ assignment, effectiveClientRef }: Placement) =>
  assignment === 'mapped' ? effectiveClientRef : null

/**
 * What saving the draft does to how many devices, overall and by the choice that does it: the nearest changed one
 * above.
 */
export function effectsOf(
  nodes: Node[],
  draft: Draft,
  before: Map<string, Placement>,
  after: Map<string, Placement>
): Effects {
  const effects: Effects = { total: nothing(), by: new Map() }
  if (draft.size === 0) return effects
  const cause = new Map<Node, string | null>()
  for (const node of nodes) {
    const { id, externalId, deviceCount } = node.organization
    const because = draft.has(id) ? id : node.parent === null ? null : (cause.get(node.parent) ?? null)
    cause.set(node, because)
    const kind = change(before.get(externalId)!, after.get(externalId)!)
    if (kind === null || because === null || deviceCount === 0) continue
    const own = effects.by.get(because) ?? nothing()
    own[kind] += deviceCount
    effects.total[kind] += deviceCount
    effects.by.set(because, own)
  }
  return effects
}

function change(before: Placement, after: Placement): keyof Effect | null {
  const [from, to] = [clientOf(before), clientOf(after)]
  if (after.assignment === 'held')
    return before.assignment === 'held' && before.effectiveClientRef === after.effectiveClientRef ? null : 'held'
  // What a group with sync off holds is not known here; its devices may come from any client.
  if (before.assignment === 'held') return to === null ? 'lost' : 'moved'
  if (from === to) return null
  return from === null ? 'gained' : to === null ? 'lost' : 'moved'
}

export type Shown = 'all' | 'open' | 'changed'
export interface Filter {
  query: string
  shown: Shown
  collapsed: ReadonlySet<string>
}

/** The rows to show: matches with everything above them, or the tree without what is collapsed. */
export function rowsOf(nodes: Node[], { query, shown, collapsed }: Filter, matches: (node: Node) => boolean): Node[] {
  if (query === '' && shown === 'all') {
    const hidden = new Set<Node>()
    return nodes.filter(node => {
      const { parent } = node
      if (parent !== null && (hidden.has(parent) || collapsed.has(parent.organization.id))) hidden.add(node)
      return !hidden.has(node)
    })
  }
  const wanted = new Set<Node>()
  for (const node of nodes) {
    if (!matches(node)) continue
    for (let at: Node | null = node; at !== null && !wanted.has(at); at = at.parent) wanted.add(at)
  }
  return nodes.filter(node => wanted.has(node))
}
