/** What every list takes and answers. */

export interface PageQuery {
  /** 1 to 200. Default 50. */
  limit?: number
  cursor?: string
}

/** For lists that can be counted. */
export interface CountedQuery extends PageQuery {
  /** Also tell how many there are in all, which costs a statement of its own. Default false. */
  total?: boolean
}

export interface List<T> {
  items: T[]
  nextCursor: string | null
  /** Of all pages together; only where it was asked for. */
  total?: number
}
