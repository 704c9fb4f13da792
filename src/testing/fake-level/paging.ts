import type { Collection } from './collection.ts'
import { type Answer, type Call, failure, ok } from './route.ts'

export interface PagingOptions {
  /** The server's own upper bound, 1 to 100. */
  maxLimit: number
  /** What a cursor does whose record was deleted: the platform does not say. */
  deletedCursor: 'continue' | 'refuse'
}

/**
 * Level API: `limit` 1 to 100 (20 when missing, bounded when outside), `starting_after` or `ending_before`, `{ data,
 * has_more }`. What a bad cursor does is undocumented; here it is 400, so that no client takes it for an end.
 */
export function listPage<T extends { id: string }>(
  call: Call,
  records: Collection<T>,
  view: (record: T) => unknown,
  where: ((record: T) => boolean) | undefined,
  options: PagingOptions
): Answer {
  const wanted = Number.parseInt(call.query.get('limit') ?? '20', 10)
  const limit = Math.min(Math.max(Number.isNaN(wanted) ? 20 : wanted, 1), options.maxLimit)
  const after = call.query.get('starting_after')
  const before = call.query.get('ending_before')
  if (after !== null && before !== null) return failure(400, 'starting_after and ending_before exclude each other')
  const cursor = after ?? before
  const position = cursor === null ? -1 : records.positionOf(cursor)
  if (cursor !== null && (position < 0 || (options.deletedCursor === 'refuse' && !records.has(cursor))))
    return failure(400, 'Invalid cursor')
  const { data, has_more } = records.page({
    limit,
    where,
    ...(before === null ? { after: position } : { before: position })
  })
  return ok({ data: data.map(view), has_more })
}
