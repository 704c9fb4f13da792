import type { ComponentChildren } from 'preact'
import { useId, useRef, useState } from 'preact/hooks'
import { ApiError, type ProblemKind } from '../api.ts'
import { type Loaded, useUi } from '../context.ts'
import type { StringKey } from '../strings.ts'

export function Link({
  to,
  current = false,
  class: className,
  children
}: {
  to: string
  current?: boolean
  class?: string
  children: ComponentChildren
}) {
  const { router } = useUi()
  const follow = (event: MouseEvent) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey || event.button !== 0) return
    event.preventDefault()
    router.go(to)
  }
  return (
    <a href={router.href(to)} class={className} aria-current={current ? 'page' : undefined} onClick={follow}>
      {children}
    </a>
  )
}

export function Loading({ count }: { count?: number | undefined }) {
  const { t } = useUi()
  return (
    <p class='muted loading' role='status'>
      {count ? t('loadingCount', { count }) : t('loading')}
    </p>
  )
}

export function Empty({ children }: { children: ComponentChildren }) {
  return <p class='empty'>{children}</p>
}

const texts: Record<ProblemKind, [StringKey, StringKey | null]> = {
  session: ['sessionTitle', 'sessionText'],
  forbidden: ['forbiddenTitle', 'forbiddenText'],
  network: ['networkTitle', 'networkText'],
  missing: ['missingTitle', null],
  busy: ['busyTitle', null],
  refused: ['refusedTitle', null],
  server: ['serverTitle', null]
}

/** A failure in words, with a way to try again. */
export function Problem({ error, retry }: { error: unknown; retry?: (() => void) | undefined }) {
  const { t, enter } = useUi()
  if (!error) return null
  const kind = error instanceof ApiError ? error.kind : 'server'
  if (kind === 'session' && enter && retry) return <TokenForm enter={enter} retry={retry} />
  const [title, text] = texts[kind]
  const message = kind === 'session' || kind === 'network' ? '' : (error as Error).message
  return (
    <div class='notice bad' role='alert'>
      <div>
        <strong>{t(title)}</strong>
        {text && <p>{t(text)}</p>}
        {message && <p>{message}</p>}
      </div>
      {retry && (
        <button type='button' onClick={retry}>
          {t('retry')}
        </button>
      )}
    </div>
  )
}

/** For hosts that know their users by a token: the way back in. */
function TokenForm({ enter, retry }: { enter: (token: string) => void; retry: () => void }) {
  const { t } = useUi()
  const [token, setToken] = useState('')
  const id = useId()
  const use = () => {
    enter(token.trim())
    retry()
  }
  // Not a form: it may be shown inside of one.
  return (
    <div class='notice warn' role='alert'>
      <div>
        <strong>{t('sessionTitle')}</strong>
        <p>{t('sessionTokenText')}</p>
        <label for={id}>{t('token')}</label>
        <div class='row'>
          <input
            id={id}
            class='grow'
            type='password'
            autocomplete='off'
            value={token}
            onInput={event => setToken(event.currentTarget.value)}
            onKeyDown={event => {
              if (event.key === 'Enter') {
                event.preventDefault()
                use()
              }
            }}
          />
          <button type='button' disabled={token.trim() === ''} onClick={use}>
            {t('retry')}
          </button>
        </div>
      </div>
    </div>
  )
}

export function Notice({
  tone = 'info',
  title,
  children
}: {
  tone?: 'info' | 'ok' | 'warn' | 'bad'
  title?: string
  children?: ComponentChildren
}) {
  return (
    <div class={`notice ${tone}`} role='status'>
      <div>
        {title && <strong>{title}</strong>}
        {children}
      </div>
    </div>
  )
}

/** What works on the platform but should be looked at; nothing where there is none. */
export function Warnings({ warnings }: { warnings: string[] }) {
  const { t } = useUi()
  if (warnings.length === 0) return null
  return (
    <Notice tone='warn' title={t('warnings')}>
      <ul>
        {warnings.map(warning => (
          <li key={warning}>{warning}</li>
        ))}
      </ul>
    </Notice>
  )
}

/** What was loaded, or that it is being loaded, or why it could not be. */
export function Show<T>({
  of: { data, error, reload },
  children
}: {
  of: Loaded<T>
  children: (data: T) => ComponentChildren
}) {
  return (
    <>
      {error !== undefined && <Problem error={error} retry={reload} />}
      {data !== undefined ? children(data) : error === undefined && <Loading />}
    </>
  )
}

export type Tone = 'ok' | 'warn' | 'bad' | 'plain'

export function Badge({ tone = 'plain', children }: { tone?: Tone; children: ComponentChildren }) {
  return <span class={`badge ${tone}`}>{children}</span>
}

/** How long ago, with the exact time for whoever hovers or reads by machine. */
export function Ago({ at }: { at: string | null }) {
  const { t, fmt } = useUi()
  return at === null ? (
    <span>{t('never')}</span>
  ) : (
    <time dateTime={at} title={fmt.time(at)}>
      {fmt.ago(at)}
    </time>
  )
}

export function Time({ at }: { at: string | null }) {
  const { t, fmt } = useUi()
  return at === null ? <span>{t('never')}</span> : <time dateTime={at}>{fmt.time(at)}</time>
}

/** A value to copy, selectable where the browser does not let us copy. */
export function Copy({ label, value }: { label: string; value: string }) {
  const { t, announce } = useUi()
  const [state, setState] = useState<'copy' | 'copied' | 'copyFailed'>('copy')
  const code = useRef<HTMLElement>(null)
  const copy = async () => {
    const done =
      (await navigator.clipboard?.writeText(value).then(
        () => true,
        () => false
      )) ?? false
    if (!done) getSelection()?.selectAllChildren(code.current!)
    setState(done ? 'copied' : 'copyFailed')
    announce(t(done ? 'copied' : 'copyFailed'))
  }
  return (
    <div class='copy'>
      <span class='label'>{label}</span>
      <div class='row'>
        <code ref={code}>{value}</code>
        <button type='button' onClick={copy} aria-label={`${t(state === 'copied' ? 'copied' : 'copy')}: ${label}`}>
          {t(state === 'copied' ? 'copied' : 'copy')}
        </button>
      </div>
      {state === 'copyFailed' && <span class='muted'>{t('copyFailed')}</span>}
    </div>
  )
}

/** Facts by name; those that are not known are left out. */
export function Facts({ items }: { items: Array<[string, ComponentChildren]> }) {
  const known = items.filter(([, value]) => value !== null && value !== undefined && value !== '')
  return (
    <dl class='facts'>
      {known.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  )
}

/** A part of a page; without a title where the page's own heading says it all. */
export function Card({
  title,
  actions,
  children
}: {
  title?: ComponentChildren
  actions?: ComponentChildren
  children: ComponentChildren
}) {
  return (
    <section class='card'>
      {title && (
        <div class='head'>
          <h2>{title}</h2>
          {actions && <div class='row'>{actions}</div>}
        </div>
      )}
      {children}
    </section>
  )
}
