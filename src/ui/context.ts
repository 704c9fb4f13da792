import { createContext } from 'preact'
import { useCallback, useContext, useEffect, useRef, useState } from 'preact/hooks'
import type { Client, ProviderInfo } from '../types.ts'
import type { Api } from './api.ts'
import type { Format } from './format.ts'
import type { Router } from './router.ts'
import type { Translate } from './translate.ts'

/** What every part of the page works with. */
export interface Ui {
  api: Api
  t: Translate
  fmt: Format
  router: Router
  locale: string
  /** Says something to screen readers. */
  announce(text: string): void
  enter: ((token: string) => void) | undefined
}

export const UiContext = createContext<Ui>(null as unknown as Ui)
export const useUi = (): Ui => useContext(UiContext)

export interface Loaded<T> {
  data: T | undefined
  error: unknown
  loading: boolean
  reload(): void
  /** Replaces what was loaded, after a change that answered with the new state. */
  set(data: T): void
}

/**
 * Loads when `key` changes and on `reload`. What was loaded stays visible while it is loaded again, and when that
 * fails.
 */
export function useLoad<T>(key: string, load: (signal: AbortSignal) => Promise<T>): Loaded<T> {
  const [state, setState] = useState<{ key: string; data?: T; error?: unknown; loading: boolean }>({
    key,
    loading: true
  })
  const [turn, setTurn] = useState(0)
  useEffect(() => {
    const leaving = new AbortController()
    setState(before => (before.key === key ? { ...before, loading: true } : { key, loading: true }))
    load(leaving.signal).then(
      data => {
        if (!leaving.signal.aborted) setState({ key, data, loading: false })
      },
      error => {
        if (!leaving.signal.aborted) setState(before => ({ ...before, error, loading: false }))
      }
    )
    return () => leaving.abort()
  }, [key, turn])
  const reload = useCallback(() => setTurn(turn => turn + 1), [])
  const set = useCallback((data: T) => setState({ key, data, loading: false }), [key])
  return { data: state.key === key ? state.data : undefined, error: state.error, loading: state.loading, reload, set }
}

export interface Doing {
  busy: boolean
  error: unknown
  /** Runs the work, remembers its failure, and runs it again by `retry`. Resolves with whether it succeeded. */
  run(work: () => Promise<void>): Promise<boolean>
  retry(): void
  clear(): void
}

/** Something the operator does: busy while it runs, its failure in words, and a way to try again. */
export function useDoing(): Doing {
  const [state, setState] = useState<{ busy: boolean; error: unknown }>({ busy: false, error: undefined })
  const last = useRef<() => Promise<void>>(undefined)
  const gone = useRef(false)
  useEffect(
    () => () => {
      gone.current = true
    },
    []
  )
  const run = useCallback(async (work: () => Promise<void>) => {
    last.current = work
    setState({ busy: true, error: undefined })
    try {
      await work()
      if (!gone.current) setState({ busy: false, error: undefined })
      return true
    } catch (error) {
      if (!gone.current) setState({ busy: false, error })
      return false
    }
  }, [])
  return {
    ...state,
    run,
    retry: () => {
      if (last.current) void run(last.current)
    },
    clear: () => setState({ busy: false, error: undefined })
  }
}

/** The providers by id; one request per visit. */
export const ProvidersContext = createContext<Map<string, ProviderInfo>>(new Map())
export const useProviders = () => useContext(ProvidersContext)

/** Names of clients by id, filled in the background; `load` is called by the parts that show names. */
export interface ClientNames {
  names: ReadonlyMap<string, string>
  load(): void
  /** A client that was just chosen, so that its name shows at once. */
  learn(client: Client): void
}
export const ClientsContext = createContext<ClientNames>({ names: new Map(), load: () => {}, learn: () => {} })

/** The name of a client, or its reference until (or where) the directory does not tell. */
export function useClientName(): (clientRef: string | null) => string | null {
  const { names, load } = useContext(ClientsContext)
  useEffect(load, [load])
  return clientRef => (clientRef === null ? null : (names.get(clientRef) ?? clientRef))
}

/** Asks before something that is not saved is left, by a link, by the browser's back button or by closing the tab. */
export function useUnsaved(dirty: boolean): void {
  const { router } = useUi()
  useEffect(() => (dirty ? router.hold() : undefined), [dirty, router.hold])
  useEffect(() => {
    if (!dirty) return
    const stay = (event: BeforeUnloadEvent) => event.preventDefault()
    addEventListener('beforeunload', stay)
    return () => removeEventListener('beforeunload', stay)
  }, [dirty])
}
