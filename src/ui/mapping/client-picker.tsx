import { useContext, useEffect, useId, useRef, useState } from 'preact/hooks'
import type { Client, List } from '../../types.ts'
import { ClientsContext, useUi } from '../context.ts'
import { useSettled } from '../components/list.tsx'

export interface ClientPickerProps {
  label: string
  clientRef: string | null
  onPick: (client: Client) => void
}

const limit = 20

/** Finds one client among thousands by typing: the server searches, the keyboard chooses. */
export function ClientPicker({ label, clientRef, onPick }: ClientPickerProps) {
  const { t } = useUi()
  const { names } = useContext(ClientsContext)
  const [text, setText] = useState<string | null>(null)
  const [at, setAt] = useState(0)
  const input = useRef<HTMLInputElement>(null)
  const id = useId()
  const found = useClients(useSettled(text, 150))
  const open = text !== null
  const chosen = clientRef === null ? '' : (names.get(clientRef) ?? clientRef)
  const options = open ? found.items : []
  const close = () => setText(null)
  const pick = (client: Client) => {
    onPick(client)
    close()
  }
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.key === 'ArrowDown' || event.key === 'ArrowUp') {
      event.preventDefault()
      if (!open) return setText('')
      setAt(at => (at + (event.key === 'ArrowDown' ? 1 : -1) + options.length) % Math.max(1, options.length))
    } else if (event.key === 'Enter' && open) {
      event.preventDefault()
      if (options[at]) pick(options[at])
    } else if (event.key === 'Escape' && open) {
      event.preventDefault()
      close()
    }
  }
  const active = options[at]
  return (
    <div class='picker'>
      <input
        ref={input}
        type='text'
        role='combobox'
        aria-label={label}
        aria-expanded={open}
        aria-controls={open ? `${id}-list` : undefined}
        aria-autocomplete='list'
        aria-activedescendant={active ? `${id}-${at}` : undefined}
        aria-invalid={clientRef === null && !open ? true : undefined}
        placeholder={t('clientSearch')}
        autocomplete='off'
        spellcheck={false}
        title={chosen}
        value={text ?? chosen}
        onInput={event => {
          setText(event.currentTarget.value)
          setAt(0)
        }}
        onClick={event => {
          if (!open) {
            setText('')
            event.currentTarget.select()
          }
        }}
        onKeyDown={onKeyDown}
        onBlur={close}
      />
      {open && (
        <Popup anchor={input}>
          <div id={`${id}-list`} class='options' role='listbox' aria-label={label} tabIndex={-1}>
            {options.map((client, index) => (
              <div
                key={client.id}
                id={`${id}-${index}`}
                role='option'
                tabIndex={-1}
                aria-selected={index === at}
                class={client.id === clientRef ? 'chosen' : undefined}
                onPointerDown={event => event.preventDefault()}
                onClick={() => pick(client)}
                onKeyDown={onKeyDown}
              >
                {client.name}
              </div>
            ))}
          </div>
          <p class='muted' role='status'>
            {found.failed
              ? t('clientFailed')
              : found.loading
                ? t('loading')
                : options.length === 0
                  ? t('clientNone')
                  : found.more
                    ? t('clientMore')
                    : ''}
          </p>
        </Popup>
      )}
    </div>
  )
}

function useClients(query: string | null) {
  const { api } = useUi()
  const [state, setState] = useState<{ items: Client[]; more: boolean; loading: boolean; failed: boolean }>({
    items: [],
    more: false,
    loading: true,
    failed: false
  })
  useEffect(() => {
    if (query === null) return setState({ items: [], more: false, loading: true, failed: false })
    const leaving = new AbortController()
    setState(before => ({ ...before, loading: true }))
    api.get<List<Client>>('clients', { q: query.trim(), limit }, leaving.signal).then(
      page => setState({ items: page.items, more: page.nextCursor !== null, loading: false, failed: false }),
      () => {
        if (!leaving.signal.aborted) setState({ items: [], more: false, loading: false, failed: true })
      }
    )
    return () => leaving.abort()
  }, [query, api])
  return state
}

/** Above everything else, below its input: a scrolling list around it cannot cut it off. */
function Popup({ anchor, children }: { anchor: { current: HTMLElement | null }; children: preact.ComponentChildren }) {
  const box = useRef<HTMLDivElement>(null)
  useEffect(() => {
    const popup = box.current!
    const settle = () => {
      const { left, bottom, top, width } = anchor.current!.getBoundingClientRect()
      const space = innerHeight - bottom
      popup.style.width = `${Math.max(width, 220)}px`
      popup.style.left = `${Math.max(8, Math.min(left, document.documentElement.clientWidth - Math.max(width, 220) - 8))}px`
      popup.style.top = space > 260 || space > top ? `${bottom + 2}px` : 'auto'
      popup.style.bottom = space > 260 || space > top ? 'auto' : `${innerHeight - top + 2}px`
    }
    popup.showPopover?.()
    settle()
    addEventListener('scroll', settle, true)
    addEventListener('resize', settle)
    return () => {
      removeEventListener('scroll', settle, true)
      removeEventListener('resize', settle)
    }
  }, [anchor])
  return (
    <div ref={box} popover='manual' class='popup'>
      {children}
    </div>
  )
}
