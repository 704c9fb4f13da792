import { endOfString } from './large-frame.ts'
import type { RawNode } from './map.ts'

/** What is read of a node. The id comes first, so that the texts sort by it. */
const fields = [
  '_id',
  'meshid',
  'mtype',
  'name',
  'rname',
  'host',
  'ip',
  'osdesc',
  'lastbootuptime',
  'users',
  'av',
  'wsc',
  'defender',
  'tags',
  'desc',
  'firstconnect',
  'agent',
  'conn',
  'agct'
] as const

/** What a document of the server's says that is of use here: no credentials, no tokens, no users' rights. */
export function essentialsOf(document: Record<string, unknown>, meshid: string): RawNode {
  const node: RawNode = {}
  for (const field of fields) if (document[field] != null) node[field] = document[field]
  return { ...node, meshid }
}

/** The id as its text has it. */
function idIn(text: string): string {
  return text.slice(1, text[1] === '"' ? endOfString(text, 1) : text.indexOf(','))
}

export interface ListedNode {
  node: RawNode
  /** When it last connected or disconnected: ms of the server's clock, null where that is unknown. */
  lastChange: number | null
}

/**
 * One reading of which devices there are, in the order of their ids. Until a node has its turn it is one text without
 * field names: of a large server that is a third of what objects would take.
 */
export class NodeList {
  /** When the agent that has been connected for the longest time connected; null where none is. */
  connectedSince: number | null = null
  private texts: string[] = []
  private next = 0

  add({ node, lastChange }: ListedNode): void {
    const { agct } = node
    if (typeof agct === 'number') this.connectedSince = Math.min(agct, this.connectedSince ?? agct)
    this.texts.push(JSON.stringify([...fields.map(field => node[field]), lastChange]))
  }

  /**
   * To be called when all were added. Of a node that a paged list showed twice one is as good as the other. Returns
   * how many there are.
   */
  arrange(): number {
    this.texts = this.texts.sort().filter((text, n, all) => n === 0 || idIn(text) !== idIn(all[n - 1]!))
    return this.texts.length
  }

  skipUntil(id: string): void {
    const mark = `[${JSON.stringify(id)},`
    while (this.next < this.texts.length && (this.texts[this.next]! < mark || this.texts[this.next]!.startsWith(mark)))
      this.next++
  }

  /** The next ones; empty at the end. They are not kept any longer. */
  take(count: number): ListedNode[] {
    const from = this.next
    this.next = Math.min(from + count, this.texts.length)
    const taken = this.texts.slice(from, this.next)
    this.texts.fill('', from, this.next)
    return taken.map(text => {
      const values = JSON.parse(text) as unknown[]
      const node = Object.fromEntries(fields.flatMap((field, n) => (values[n] === null ? [] : [[field, values[n]]])))
      return { node, lastChange: values[fields.length] as number | null }
    })
  }
}
