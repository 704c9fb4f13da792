import type { ComponentChildren } from 'preact'
import { useCallback, useLayoutEffect, useRef, useState } from 'preact/hooks'

export interface VirtualListProps<T> {
  label: string
  items: T[]
  keyOf: (item: T) => string
  /** Level in a tree, from 1. */
  levelOf: (item: T) => number
  /** Pixels of every row in a list of this width. */
  rowHeight: (width: number) => number
  children: (item: T) => ComponentChildren
}

const overscan = 6

/**
 * A long list of which only the visible rows exist. The row that has the focus stays, wherever one scrolls, so that
 * the focus is not lost; rows around the window exist, so that Tab reaches them.
 */
export function VirtualList<T>({ label, items, keyOf, levelOf, rowHeight: heightAt, children }: VirtualListProps<T>) {
  const box = useRef<HTMLDivElement>(null)
  const [view, setView] = useState({ top: 0, height: 600, width: 800 })
  const [focused, setFocused] = useState<string | null>(null)
  const measure = useCallback(() => {
    const { scrollTop: top, clientHeight: height, clientWidth: width } = box.current!
    setView({ top, height, width })
  }, [])
  useLayoutEffect(() => {
    const observer = new ResizeObserver(measure)
    observer.observe(box.current!)
    return () => observer.disconnect()
  }, [measure])
  const rowHeight = heightAt(view.width)
  const first = Math.max(0, Math.floor(view.top / rowHeight) - overscan)
  const last = Math.min(items.length, Math.ceil((view.top + view.height) / rowHeight) + overscan)
  const indexes = Array.from({ length: Math.max(0, last - first) }, (_, i) => first + i)
  const held = focused === null ? -1 : items.findIndex(item => keyOf(item) === focused)
  if (held >= 0 && (held < first || held >= last)) indexes.push(held)
  return (
    <div
      ref={box}
      class='virtual'
      onScroll={measure}
      onFocusIn={event => setFocused((event.target as HTMLElement).closest('li')?.dataset['key'] ?? null)}
    >
      <ul aria-label={label} style={{ height: `${items.length * rowHeight}px` }}>
        {indexes.map(index => {
          const item = items[index]!
          const key = keyOf(item)
          return (
            // biome-ignore lint/a11y/useAriaPropsSupportedByRole: ARIA 1.2 has aria-level on list items
            <li
              key={key}
              data-key={key}
              aria-level={levelOf(item)}
              aria-posinset={index + 1}
              aria-setsize={items.length}
              style={{ top: `${index * rowHeight}px`, height: `${rowHeight}px` }}
            >
              {children(item)}
            </li>
          )
        })}
      </ul>
    </div>
  )
}
