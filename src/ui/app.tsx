import { useEffect, useMemo, useRef, useState } from 'preact/hooks'
import type { Client, ProviderInfo } from '../types.ts'
import type { Api } from './api.ts'
import { Dialog } from './components/dialog.tsx'
import { Link, Loading, Problem } from './components/basics.tsx'
import { type ClientNames, ClientsContext, ProvidersContext, type Ui, UiContext, useLoad, useUi } from './context.ts'
import type { Format } from './format.ts'
import { ActivityPage } from './pages/activity.tsx'
import { AlertsPage } from './pages/alerts.tsx'
import { ConnectPage } from './pages/connect.tsx'
import { ConnectionPage } from './pages/connection.tsx'
import { ConnectionsPage } from './pages/connections.tsx'
import { DevicePage } from './pages/device.tsx'
import { DevicesPage } from './pages/devices.tsx'
import { useRouter } from './router.ts'
import type { Translate } from './translate.ts'

export interface AppProps {
  api: Api
  t: Translate
  fmt: Format
  base: string
  locale: string
  routing: 'hash' | 'memory'
  /** Whether the page's title is ours to set. */
  titled: boolean
  /** Takes a token that the operator enters; undefined where tokens are the host's business. */
  enter: Ui['enter']
}

/** More clients than this are looked up by type-ahead only; their references stand in for their names. */
const mostNames = 10_000

export function App({ api, t, fmt, locale, routing, titled, enter }: AppProps) {
  const router = useRouter(routing)
  const [said, announce] = useState('')
  const ui = useMemo((): Ui => ({ api, t, fmt, router, locale, announce, enter }), [api, t, fmt, router, locale, enter])
  const providers = useLoad(
    'providers',
    async signal => (await api.get<{ items: ProviderInfo[] }>('providers', {}, signal)).items
  )
  const byId = useMemo(() => new Map(providers.data?.map(provider => [provider.id, provider])), [providers.data])
  const place = router.path.join('/')
  // Embedded, the landmarks are those of the host's page.
  const Main = titled ? 'main' : 'div'
  const main = useRef<HTMLElement & HTMLDivElement>(null)
  const first = useRef(true)
  useEffect(() => {
    if (first.current) first.current = false
    else if (main.current) arrive(main.current, titled)
  }, [place])
  useEffect(() => {
    if (titled) document.title = t('title')
  }, [titled, t])

  return (
    <UiContext.Provider value={ui}>
      <ProvidersContext.Provider value={byId}>
        <ClientNamesProvider api={api}>
          <div class='shell' lang={locale}>
            <button type='button' class='skip' onClick={() => main.current?.focus()}>
              {t('skip')}
            </button>
            <div>
              <nav class='tabs' aria-label={t('navigation')}>
                <NavLink to='' at={['', 'connect', 'connections']}>
                  {t('connections')}
                </NavLink>
                <NavLink to='devices' at={['devices']}>
                  {t('devices')}
                </NavLink>
                <NavLink to='alerts' at={['alerts']}>
                  {t('alerts')}
                </NavLink>
                <NavLink to='activity' at={['activity']}>
                  {t('activity')}
                </NavLink>
              </nav>
            </div>
            <Main ref={main} class='main' tabIndex={-1} aria-busy={providers.loading}>
              {providers.data ? (
                <Place key={router.path.slice(0, 2).join('/')} />
              ) : providers.error ? (
                <Problem error={providers.error} retry={providers.reload} />
              ) : (
                <Loading />
              )}
            </Main>
            <p class='unseen' role='status'>
              {said}
            </p>
            <Leaving />
          </div>
        </ClientNamesProvider>
      </ProvidersContext.Provider>
    </UiContext.Provider>
  )
}

/** At the top of what is new, with the focus there, without making the reader jump where he sees it already. */
function arrive(main: HTMLElement, titled: boolean): void {
  main.focus({ preventScroll: true })
  if (titled) scrollTo(0, 0)
  else if (main.getBoundingClientRect().top < 0) main.scrollIntoView()
}

function NavLink({ to, at, children }: { to: string; at: string[]; children: string }) {
  const { router } = useUi()
  return (
    <Link to={to} current={at.includes(router.path[0] ?? '')}>
      {children}
    </Link>
  )
}

function Place() {
  const {
    router: { path },
    t
  } = useUi()
  const [section = '', id, part] = path
  if (section === '' || (section === 'connections' && id === undefined)) return <ConnectionsPage />
  if (section === 'connect' && id !== undefined) return <ConnectPage providerId={id} />
  if (section === 'connections') return <ConnectionPage id={id!} part={part ?? ''} />
  if (section === 'devices') return id === undefined ? <DevicesPage /> : <DevicePage id={id} />
  if (section === 'alerts') return <AlertsPage />
  if (section === 'activity') return <ActivityPage />
  return <p>{t('notFound')}</p>
}

function Leaving() {
  const { router, t } = useUi()
  if (router.wanted === null) return null
  return (
    <Dialog title={t('unsavedTitle')} onClose={() => router.answer(false)}>
      <p>{t('unsavedText')}</p>
      <div class='row end'>
        <button type='button' class='danger' onClick={() => router.answer(true)}>
          {t('unsavedLeave')}
        </button>
        <button type='button' class='primary' onClick={() => router.answer(false)}>
          {t('unsavedStay')}
        </button>
      </div>
    </Dialog>
  )
}

function ClientNamesProvider({ api, children }: { api: Api; children: preact.ComponentChildren }) {
  const [names, setNames] = useState<ReadonlyMap<string, string>>(new Map())
  const asked = useRef(false)
  const value = useMemo(
    (): ClientNames => ({
      names,
      load() {
        if (asked.current) return
        asked.current = true
        api.all<Client>('clients', { most: mostNames }).then(
          clients =>
            setNames(before => new Map([...before, ...clients.map(({ id, name }): [string, string] => [id, name])])),
          // Names are a convenience: where they cannot be had, references are shown, and the next page asks again.
          () => {
            asked.current = false
          }
        )
      },
      learn: ({ id, name }) => setNames(before => (before.get(id) === name ? before : new Map(before).set(id, name)))
    }),
    [names, api]
  )
  return <ClientsContext.Provider value={value}>{children}</ClientsContext.Provider>
}
