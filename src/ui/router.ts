import { useCallback, useEffect, useMemo, useRef, useState } from 'preact/hooks'

/** Where the page is: `connections/…/mapping`, without slashes at its ends. */
export interface Router {
  path: string[]
  query: URLSearchParams
  go(to: string): void
  href(to: string): string
  /** Until the returned function is called, leaving has to be confirmed. */
  hold(): () => void
  /** Where the operator wants to go while something holds; null = nowhere. */
  wanted: string | null
  /** Leaves for `wanted`, or stays. */
  answer(leave: boolean): void
}

const fromHash = () => /^#\/([^#]*)$/.exec(location.hash)?.[1] ?? ''

/**
 * `hash`: the place is in the address (`#/…`), so that it can be linked to and the back button works.
 * `memory`: the address is left to the host's own page.
 */
export function useRouter(mode: 'hash' | 'memory'): Router {
  const [at, setAt] = useState(mode === 'hash' ? fromHash() : '')
  const [wanted, setWanted] = useState<string | null>(null)
  const current = useRef(at)
  const holds = useRef(0)

  const move = useCallback(
    (to: string) => {
      current.current = to
      setAt(to)
      setWanted(null)
      if (mode === 'hash' && fromHash() !== to) location.hash = `/${to}`
    },
    [mode]
  )

  const go = useCallback(
    (to: string) => {
      if (holds.current > 0 && to !== current.current) setWanted(to)
      else move(to)
    },
    [move]
  )

  useEffect(() => {
    if (mode !== 'hash') return
    const follow = () => {
      const to = fromHash()
      if (to === current.current) return
      if (holds.current === 0) return move(to)
      location.hash = `/${current.current}`
      setWanted(to)
    }
    addEventListener('hashchange', follow)
    return () => removeEventListener('hashchange', follow)
  }, [mode, move])

  const hold = useCallback(() => {
    holds.current++
    return () => {
      holds.current--
    }
  }, [])
  const answer = useCallback(
    (leave: boolean) => {
      if (leave && wanted !== null) move(wanted)
      else setWanted(null)
    },
    [move, wanted]
  )

  return useMemo(() => {
    const [path = '', query = ''] = at.split('?')
    return {
      path: path
        .split('/')
        .filter(part => part !== '')
        .map(decodeURIComponent),
      query: new URLSearchParams(query),
      go,
      href: to => `#/${to}`,
      hold,
      wanted,
      answer
    }
  }, [at, wanted, go, hold, answer])
}
