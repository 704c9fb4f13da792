import { useState } from 'preact/hooks'
import type { DeviceGroupResult, DeviceGroupStatus, DeviceGroupSync } from '../../types.ts'
import { Badge, Card, Copy, Empty, Notice, Problem, Show, type Tone } from '../components/basics.tsx'
import { Dialog } from '../components/dialog.tsx'
import { Check, NumberField, Search, submitting } from '../components/field.tsx'
import { Cell, Table } from '../components/list.tsx'
import { useDoing, useLoad, useUi } from '../context.ts'
import { pathOf, type PartProps } from '../parts.ts'

type ClientStatus = DeviceGroupStatus['clients'][number]
const shownAtOnce = 100

export function DeviceGroupsPage({ connection }: PartProps) {
  const { api, t } = useUi()
  const base = `${pathOf(connection.id)}/device-groups`
  const status = useLoad(`groups ${connection.id}`, signal => api.get<DeviceGroupStatus>(`${base}/status`, {}, signal))
  return (
    <>
      <p class='muted'>{t('groupsIntro')}</p>
      <SyncAll base={base} onDone={status.reload} />
      <Show of={status}>
        {({ clients, source, message }) => (
          <>
            {source === 'stored' && (
              <Notice tone='warn' title={t('groupsStored')}>
                <p>{message}</p>
              </Notice>
            )}
            {clients.length === 0 ? (
              <Empty>{t('groupsNone')}</Empty>
            ) : (
              <StatusTable base={base} clients={clients} loading={status.loading} onChange={status.reload} />
            )}
          </>
        )}
      </Show>
    </>
  )
}

const changing = ({ created, linked, renamed }: DeviceGroupSync) => created + linked + renamed

/** First what would be done, then the same for real. */
function SyncAll({ base, onDone }: { base: string; onDone: () => void }) {
  const { api, t } = useUi()
  const doing = useDoing()
  const [rename, setRename] = useState(false)
  const [plan, setPlan] = useState<DeviceGroupSync | null>(null)
  const [result, setResult] = useState<DeviceGroupSync | null>(null)
  const preview = () =>
    void doing.run(async () => {
      setResult(null)
      setPlan(await api.send('POST', `${base}/sync-all`, { dryRun: true, rename }))
    })
  const apply = () =>
    void doing
      .run(async () => {
        setResult(await api.send('POST', `${base}/sync-all`, { dryRun: false, rename }))
        setPlan(null)
      })
      .then(onDone)
  const shown = result ?? plan
  return (
    <Card
      title={t(result ? 'groupsDone' : plan ? 'groupsPlan' : 'groupsTitle')}
      actions={
        <button type='button' disabled={doing.busy} onClick={preview}>
          {t(doing.busy && plan === null ? 'groupsPreviewing' : 'groupsPreview')}
        </button>
      }
    >
      <Check
        label={t('groupsRename')}
        checked={rename}
        disabled={doing.busy}
        onChange={on => {
          setRename(on)
          setPlan(null)
        }}
      />
      <Problem error={doing.error} retry={doing.retry} />
      {result && <Notice tone={result.success ? 'ok' : 'warn'} title={result.message} />}
      {plan && changing(plan) === 0 && plan.conflicts + plan.failed === 0 && (
        <Notice tone='ok' title={t('groupsNothing')} />
      )}
      {shown && (
        <Results results={shown.results.filter(({ outcome }) => outcome !== 'existing')} done={result !== null} />
      )}
      {plan && changing(plan) > 0 && (
        <div class='row'>
          <button type='button' class='primary' disabled={doing.busy} onClick={apply}>
            {doing.busy ? t('groupsApplying') : t('groupsApply', { count: changing(plan) })}
          </button>
          <button type='button' disabled={doing.busy} onClick={() => setPlan(null)}>
            {t('cancel')}
          </button>
        </div>
      )}
    </Card>
  )
}

const tones: Record<DeviceGroupResult['outcome'], Tone> = {
  created: 'ok',
  linked: 'ok',
  existing: 'plain',
  renamed: 'ok',
  conflict: 'warn',
  failed: 'bad'
}

function Results({ results, done }: { results: DeviceGroupResult[]; done: boolean }) {
  const { t } = useUi()
  const [shown, setShown] = useState(shownAtOnce)
  if (results.length === 0) return null
  // What needs a person comes first.
  const ordered = results.toSorted((a, b) => Number(b.error !== undefined) - Number(a.error !== undefined))
  return (
    <>
      <Table label={t(done ? 'groupsDone' : 'groupsPlan')} columns={[t('group'), t('outcome'), t('reason')]}>
        {ordered.slice(0, shown).map(({ clientRef, name, outcome, error }) => (
          <tr key={clientRef}>
            <Cell of={t('group')}>{name}</Cell>
            <Cell of={t('outcome')}>
              <Badge tone={done ? tones[outcome] : error ? tones[outcome] : 'plain'}>
                {outcome === 'conflict' || outcome === 'failed' || !done
                  ? t(`group_${outcome}`)
                  : t(`groupDone_${outcome}`)}
              </Badge>
            </Cell>
            <Cell of={t('reason')} wide>
              {error ?? ''}
              {outcome === 'conflict' && <span class='muted small block'>{t('conflictHelp')}</span>}
            </Cell>
          </tr>
        ))}
      </Table>
      {ordered.length > shown && (
        <p class='more'>
          <button type='button' onClick={() => setShown(shown + shownAtOnce)}>
            {t('more')}
          </button>
        </p>
      )}
    </>
  )
}

interface StatusTableProps {
  base: string
  clients: ClientStatus[]
  loading: boolean
  onChange: () => void
}

function StatusTable({ base, clients, loading, onChange }: StatusTableProps) {
  const { api, t, fmt } = useUi()
  const doing = useDoing()
  const [query, setQuery] = useState('')
  const [attention, setAttention] = useState(false)
  const [shown, setShown] = useState(shownAtOnce)
  const [link, setLink] = useState<ClientStatus | null>(null)
  const found = clients.filter(
    client =>
      (!attention || client.needsSync) &&
      `${client.name}\n${client.groupName ?? ''}`.toLowerCase().includes(query.trim().toLowerCase())
  )
  const ensure = (clientRef: string) =>
    void doing.run(async () => {
      await api.send('POST', `${base}/ensure/${encodeURIComponent(clientRef)}`)
      onChange()
    })
  return (
    <Card
      title={
        <>
          {t('status')} <span class='muted small'>{t('ofCount', { count: found.length, total: clients.length })}</span>
        </>
      }
      actions={
        <button type='button' class='quiet' disabled={loading} onClick={onChange}>
          {t(loading ? 'loading' : 'refresh')}
        </button>
      }
    >
      <div class='filters'>
        <Search label={t('search')} value={query} onInput={setQuery} />
        <Check label={t('filterAttention')} checked={attention} onChange={setAttention} />
      </div>
      <Problem error={doing.error} retry={doing.retry} />
      <Table label={t('deviceGroups')} columns={[t('client'), t('group'), t('devices'), t('state'), t('actions')]}>
        {found.slice(0, shown).map(client => (
          <tr key={client.clientRef}>
            <Cell of={t('client')}>{client.name}</Cell>
            <Cell of={t('group')}>{client.groupName ?? t('none')}</Cell>
            <Cell of={t('devices')}>{fmt.number(client.linkedDevices)}</Cell>
            <Cell of={t('state')} wide>
              <State client={client} />
            </Cell>
            <Cell of={t('actions')}>
              {client.needsSync && (
                <button
                  type='button'
                  class='quiet'
                  disabled={doing.busy}
                  aria-label={t('ensureLabel', { name: client.name })}
                  onClick={() => ensure(client.clientRef)}
                >
                  {t('ensure')}
                </button>
              )}
              {client.groupExists && (
                <button
                  type='button'
                  class='quiet'
                  aria-label={t('installLinkLabel', { name: client.name })}
                  onClick={() => setLink(client)}
                >
                  {t('installLink')}
                </button>
              )}
            </Cell>
          </tr>
        ))}
      </Table>
      {found.length > shown && (
        <p class='more'>
          <button type='button' onClick={() => setShown(shown + shownAtOnce)}>
            {t('more')}
          </button>
        </p>
      )}
      {link && <InstallLink base={base} client={link} onClose={() => setLink(null)} />}
    </Card>
  )
}

function State({ client }: { client: ClientStatus }) {
  const { t } = useUi()
  if (!client.needsSync) return <Badge tone='ok'>{t('groupReady')}</Badge>
  return (
    <>
      <Badge tone={client.drift ? 'warn' : 'plain'}>
        {t(client.hasGroup || client.drift ? 'groupNeeds' : 'groupMissing')}
      </Badge>
      {client.drift && <span class='small block'>{client.drift}</span>}
    </>
  )
}

function InstallLink({ base, client, onClose }: { base: string; client: ClientStatus; onClose: () => void }) {
  const { api, t, fmt } = useUi()
  const doing = useDoing()
  const [hours, setHours] = useState(24)
  const [made, setMade] = useState<{ url: string; expiresAt: string } | null>(null)
  const make = () =>
    void doing.run(async () =>
      setMade(await api.send('POST', `${base}/${encodeURIComponent(client.clientRef)}/install-link`, { hours }))
    )
  return (
    <Dialog title={t('installLinkLabel', { name: client.name })} onClose={onClose}>
      <form noValidate onSubmit={submitting(make)}>
        <p>{t('installText')}</p>
        <NumberField label={t('installHours')} value={hours} min={1} max={8760} onInput={setHours} />
        <Problem error={doing.error} retry={doing.retry} />
        {made && (
          <>
            <Copy label={t('installLink')} value={made.url} />
            <p class='muted'>{t('expires', { time: fmt.time(made.expiresAt) })}</p>
          </>
        )}
        <div class='row end'>
          <button type='button' onClick={onClose}>
            {t('close')}
          </button>
          <button type='submit' class='primary' disabled={doing.busy || !(hours >= 1 && hours <= 8760)}>
            {t('installMake')}
          </button>
        </div>
      </form>
    </Dialog>
  )
}
