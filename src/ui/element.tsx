import { render } from 'preact'
import { createApi, type Token } from './api.ts'
import { App } from './app.tsx'
import { formatter } from './format.ts'
import type { Strings } from './strings.ts'
import base from './styles/base.css'
import controls from './styles/controls.css'
import layout from './styles/layout.css'
import lists from './styles/lists.css'
import { translator } from './translate.ts'

/** Made with the first element: where there is no document, importing this module must do nothing. */
let sheet: CSSStyleSheet | undefined
function styles(): CSSStyleSheet {
  if (sheet === undefined) {
    sheet = new CSSStyleSheet()
    sheet.replaceSync(base + controls + layout + lists)
  }
  return sheet
}

const Element = (globalThis.HTMLElement ?? class {}) as typeof HTMLElement

const storedToken = 'rmm-settings-token'

/**
 * `<rmm-settings base="/rmm">`: the settings page as an element. Attributes: `base` (the path of the API),
 * `routing="hash"` (keep the place in the address; default: in memory), `lang` (default: the browser's),
 * `theme="light|dark"` (default: the browser's), `bearer` (take a bearer token from `#token=…`, and ask for one when
 * the session has ended). Properties: `token` (text or function), `strings`. Dispatches `rmm-unauthorized` when the
 * server says that nobody is signed in.
 */
export class RmmSettings extends Element {
  static observedAttributes = ['base', 'lang', 'routing']
  #token: Token
  #strings: Partial<Strings> = {}
  #queued = false

  /**
   * A bearer token, or a function that gives one; asked before every request. Default: none, cookies are sent anyway.
   */
  get token(): Token {
    return this.#token
  }

  set token(token: Token) {
    this.#token = token
    this.#update()
  }

  /** Texts in another language; what is missing stays English. */
  get strings(): Partial<Strings> {
    return this.#strings
  }

  set strings(strings: Partial<Strings>) {
    this.#strings = strings
    this.#update()
  }

  connectedCallback(): void {
    // Properties that were set before the element was defined hide our setters: hand them on.
    for (const name of ['token', 'strings'] as const) {
      if (!Object.hasOwn(this, name)) continue
      const value = this[name]
      delete (this as Record<string, unknown>)[name]
      this[name] = value as never
    }
    if (this.shadowRoot === null) this.attachShadow({ mode: 'open' }).adoptedStyleSheets = [styles()]
    if (this.hasAttribute('bearer')) {
      this.#token ??= tokenFromLink()
      addEventListener('hashchange', reloadForToken)
    }
    this.#update()
  }

  disconnectedCallback(): void {
    removeEventListener('hashchange', reloadForToken)
    queueMicrotask(() => {
      if (!this.isConnected && this.shadowRoot) render(null, this.shadowRoot)
    })
  }

  attributeChangedCallback(): void {
    this.#update()
  }

  /** Once for all changes of one turn, and only while in a document. */
  #update(): void {
    if (this.#queued) return
    this.#queued = true
    queueMicrotask(() => {
      this.#queued = false
      if (this.isConnected && this.shadowRoot) this.#render(this.shadowRoot)
    })
  }

  #render(root: ShadowRoot): void {
    const locale = supported(this.getAttribute('lang')) ?? supported(navigator.language) ?? 'en'
    const url = new URL(`${(this.getAttribute('base') ?? '/rmm').replace(/\/+$/, '')}/`, document.baseURI)
    const hash = this.getAttribute('routing') === 'hash'
    render(
      <App
        key={url.href}
        base={url.href}
        locale={locale}
        routing={hash ? 'hash' : 'memory'}
        titled={hash}
        enter={
          this.hasAttribute('bearer')
            ? token => {
                this.#token = keepToken(token)
              }
            : undefined
        }
        api={this.#api(url)}
        t={translator(this.#strings, locale)}
        fmt={formatter(locale)}
      />,
      root
    )
  }

  #made: { url: string; api: ReturnType<typeof createApi> } | null = null
  #api(url: URL) {
    if (this.#made?.url !== url.href) {
      const refused = () => this.dispatchEvent(new CustomEvent('rmm-unauthorized', { bubbles: true, composed: true }))
      this.#made = { url: url.href, api: createApi(url, () => this.#token, refused) }
    }
    return this.#made.api
  }
}

function supported(lang: string | null): string | null {
  try {
    return lang ? (Intl.getCanonicalLocales(lang)[0] ?? null) : null
  } catch {
    return null
  }
}

/**
 * Takes the token out of the address before anything else sees it, and keeps it for this tab. A fragment is never
 * sent to a server, and replacing the entry takes it out of the history.
 */
function tokenFromLink(): string | null {
  const token = new URLSearchParams(location.hash.slice(1)).get('token')
  if (token) {
    history.replaceState(history.state, '', location.pathname + location.search)
    keepToken(token)
  }
  return sessionStorage.getItem(storedToken)
}

/** A link with a token that is opened where the page is open already. */
function reloadForToken(): void {
  if (location.hash.startsWith('#token=')) location.reload()
}

/** For this tab, until it is closed. */
function keepToken(token: string): string {
  sessionStorage.setItem(storedToken, token)
  return token
}

if (globalThis.customElements !== undefined && !customElements.get('rmm-settings'))
  customElements.define('rmm-settings', RmmSettings)
