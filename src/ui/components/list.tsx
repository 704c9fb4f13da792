import type { ComponentChildren } from 'preact'
import { useEffect, useState } from 'preact/hooks'
import type { List } from '../../types.ts'
import type { Query } from '../api.ts'
import { useUi } from '../context.ts'
import { Empty, Loading, Problem } from './basics.tsx'

/** A list of the API, page by page: more on demand, from the start when the query changes. */
export interface Paged<T> {
  items: T[]
  loading: boolean
  error: unknown
  /** Null while nothing was loaded. */
  more: boolean | null
  next(): void
  reload(): void
  replace(item: T, same: (other: T) => boolean): void
}

export function usePaged<T>(path: string, query: Query = {}): Paged<T> {
  const { api } = useUi()
  const key = `${path}?${JSON.stringify(query)}`
  const [state, setState] = useState<{
    items: T[]
    cursor: string | null
    error?: unknown
    loading: boolean
    started: boolean
  }>({ items: [], cursor: null, loading: true, started: false })
  const [ask, setAsk] = useState<{ cursor: string | null; turn: number }>({ cursor: null, turn: 0 })
  const cursor = ask.cursor
  useEffect(() => {
    const leaving = new AbortController()
    setState(before => ({ ...before, error: undefined, loading: true }))
    api.get<List<T>>(path, { ...query, cursor: cursor ?? undefined }, leaving.signal).then(
      page =>
        setState(before => ({
          items: cursor === null ? page.items : [...before.items, ...page.items],
          cursor: page.nextCursor,
          loading: false,
          started: true
        })),
      error => {
        if (!leaving.signal.aborted) setState(before => ({ ...before, error, loading: false }))
      }
    )
    return () => leaving.abort()
  }, [key, ask])
  // Another query starts at the first page.
  const [shown, setShown] = useState(key)
  if (shown !== key) {
    setShown(key)
    if (cursor !== null) setAsk(({ turn }) => ({ cursor: null, turn: turn + 1 }))
  }
  return {
    items: state.items,
    loading: state.loading,
    error: state.error,
    more: state.started ? state.cursor !== null : null,
    next: () => setAsk(({ turn }) => ({ cursor: state.cursor, turn: turn + 1 })),
    reload: () => setAsk(({ turn }) => ({ cursor: null, turn: turn + 1 })),
    replace: (item, same) =>
      setState(before => ({ ...before, items: before.items.map(other => (same(other) ? item : other)) }))
  }
}

/** The states around a paged list: loading, empty, failed, and more. */
export function PagedFrame<T>({
  list,
  empty,
  children
}: {
  list: Paged<T>
  empty: ComponentChildren
  children: ComponentChildren
}) {
  const { t } = useUi()
  return (
    <div aria-busy={list.loading}>
      {list.items.length > 0 && children}
      {list.error !== undefined && <Problem error={list.error} retry={list.reload} />}
      {list.items.length === 0 &&
        list.error === undefined &&
        (list.more === null ? <Loading /> : <Empty>{empty}</Empty>)}
      {list.more && list.items.length > 0 && (
        <p class='more'>
          <button type='button' disabled={list.loading} onClick={list.next}>
            {t(list.loading ? 'loading' : 'more')}
          </button>
        </p>
      )}
    </div>
  )
}

/** A table that becomes a list of cards where it is narrow: every cell carries its column's name. */
export function Table({ label, columns, children }: { label: string; columns: string[]; children: ComponentChildren }) {
  return (
    <table aria-label={label}>
      <thead>
        <tr>
          {columns.map(column => (
            <th key={column} scope='col'>
              {column}
            </th>
          ))}
        </tr>
      </thead>
      <tbody>{children}</tbody>
    </table>
  )
}
export const Cell = ({ of, children, wide = false }: { of: string; children: ComponentChildren; wide?: boolean }) => (
  <td data-label={of} class={wide ? 'wide' : undefined}>
    {children}
  </td>
)

/** A value that follows the input when typing pauses. */
export function useSettled<T>(value: T, ms = 250): T {
  const [settled, setSettled] = useState(value)
  useEffect(() => {
    const timer = setTimeout(() => setSettled(value), ms)
    return () => clearTimeout(timer)
  }, [value, ms])
  return settled
}
