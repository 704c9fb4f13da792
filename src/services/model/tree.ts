import type { MappingMode } from '../../types.ts'

/** What the tree is made of; `removed` organizations keep their mapping but take no part. */
export interface TreeNode {
  externalId: string
  parentExternalId: string | null
  name: string
  mode: MappingMode
  clientRef: string | null
  autoSync: boolean
  removed: boolean
}

export type Assignment = 'mapped' | 'unmapped' | 'excluded' | 'held'

export interface Placement {
  path: string
  depth: number
  assignment: Assignment
  effectiveClientRef: string | null
}

/**
 * Finds the client of every organization: the deepest mapped ancestor, itself included. An excluded one on the way
 * there wins over everything above it; what is mapped below an excluded one was mapped on purpose, and counts. An
 * organization on that way whose `autoSync` is off *holds*: its devices stay where they are instead of falling to a
 * client further up. A missing parent ends the way; a cycle is cut where it would close.
 */
export function placeAll(nodes: Iterable<TreeNode>): Map<string, Placement> {
  const byId = new Map<string, TreeNode>()
  for (const node of nodes) byId.set(node.externalId, node)
  const placed = new Map<string, Placement>()
  for (const node of byId.values()) placed.set(node.externalId, place(ancestry(node, byId)))
  return placed
}

/** The node and its ancestors, nearest first. */
function ancestry(node: TreeNode, byId: Map<string, TreeNode>): TreeNode[] {
  const way: TreeNode[] = []
  const seen = new Set<string>()
  for (
    let at: TreeNode | undefined = node;
    at !== undefined && !seen.has(at.externalId);
    at = at.parentExternalId === null ? undefined : byId.get(at.parentExternalId)
  ) {
    if (at.removed && at !== node) break
    seen.add(at.externalId)
    way.push(at)
  }
  return way
}

function place(way: TreeNode[]): Placement {
  const where = { path: pathOf(way), depth: way.length - 1 }
  const nearest = way.findIndex(node => node.mode === 'excluded' || (node.mode === 'mapped' && node.clientRef !== null))
  if (way[nearest]?.mode === 'excluded') return { ...where, assignment: 'excluded', effectiveClientRef: null }
  if (nearest < 0 || way[0]!.removed) return { ...where, assignment: 'unmapped', effectiveClientRef: null }
  const held = way.slice(0, nearest + 1).some(node => !node.autoSync)
  return { ...where, assignment: held ? 'held' : 'mapped', effectiveClientRef: way[nearest]!.clientRef }
}

/** A platform that nests without end must not make paths without end: only the nearest levels are spelled out. */
const spelledLevels = 40

function pathOf(way: TreeNode[]): string {
  const names = way.slice(0, spelledLevels).map(node => node.name)
  if (way.length > spelledLevels) names.push('…')
  return names.reverse().join(' / ')
}
