import { useEffect, useState } from 'preact/hooks'
import type { ResourceName, Run, RunItem } from '../../types.ts'
import { Badge, Card, Empty, Notice, Time, type Tone } from '../components/basics.tsx'
import { Dialog } from '../components/dialog.tsx'
import { Select } from '../components/field.tsx'
import { Cell, PagedFrame, Table, usePaged } from '../components/list.tsx'
import { useUi } from '../context.ts'
import { runTones, Totals } from './progress.tsx'

export interface HistoryProps {
  connectionId: string
  /** Changes when a run began or ended. */
  turn: number
  active: boolean
  /** Confirms the removals that were held back of these resources. */
  onForce: (resources: ResourceName[]) => void
}

export function History({ connectionId, turn, active, onForce }: HistoryProps) {
  const { t, fmt } = useUi()
  const runs = usePaged<Run>(`connections/${encodeURIComponent(connectionId)}/runs`, { limit: 20 })
  const [open, setOpen] = useState<string | null>(null)
  const [confirming, setConfirming] = useState<Braked | null>(null)
  useEffect(() => {
    if (turn > 0) runs.reload()
  }, [turn])
  // Only the latest state of the account can be confirmed.
  const held = active ? null : brakedIn(runs.items[0])
  const columns = [t('started'), t('status'), t('outcome'), t('duration'), t('actions')]
  return (
    <Card title={t('history')}>
      {held && (
        <div class='notice warn' role='status'>
          <div>
            <strong>{t(`${held.what}Title`)}</strong>
            <p>{held.message}</p>
          </div>
          <button type='button' onClick={() => setConfirming(held)}>
            {t(`${held.what}Confirm`)}
          </button>
        </div>
      )}
      <PagedFrame list={runs} empty={t('historyNone')}>
        <Table label={t('history')} columns={columns}>
          {runs.items.map(run => {
            const started = run.startedAt ?? run.queuedAt
            const shown = open === run.id
            return [
              <tr key={run.id}>
                <Cell of={t('started')}>
                  <Time at={started} />
                  <span class='muted small block'>
                    {t(`trigger_${run.trigger}`)} · {t(run.mode)}
                  </span>
                </Cell>
                <Cell of={t('status')}>
                  <Badge tone={runTones[run.status]}>{t(`run_${run.status}`)}</Badge>
                </Cell>
                <Cell of={t('outcome')} wide>
                  {run.error?.message ?? run.summary ?? ''}
                </Cell>
                <Cell of={t('duration')}>
                  {run.finishedAt && run.startedAt
                    ? fmt.duration((Date.parse(run.finishedAt) - Date.parse(run.startedAt)) / 1000)
                    : ''}
                </Cell>
                <Cell of={t('actions')}>
                  <button
                    type='button'
                    class='quiet'
                    aria-expanded={shown}
                    aria-label={`${t(shown ? 'hideDetails' : 'detailsOf', { time: fmt.time(started) })}`}
                    onClick={() => setOpen(shown ? null : run.id)}
                  >
                    {t(shown ? 'hideDetails' : 'details')}
                  </button>
                </Cell>
              </tr>,
              shown && (
                <tr key={`${run.id} details`} class='details'>
                  <td colSpan={columns.length}>
                    <RunDetails run={run} />
                  </td>
                </tr>
              )
            ]
          })}
        </Table>
      </PagedFrame>
      {confirming && (
        <Dialog title={t(`${confirming.what}Dialog`)} onClose={() => setConfirming(null)}>
          <p>{confirming.message}</p>
          <p>{t(`${confirming.what}Text`)}</p>
          <div class='row end'>
            <button type='button' onClick={() => setConfirming(null)}>
              {t('cancel')}
            </button>
            <button
              type='button'
              class='danger'
              onClick={() => {
                onForce(confirming.resources)
                setConfirming(null)
              }}
            >
              {t(`${confirming.what}Action`)}
            </button>
          </div>
        </Dialog>
      )}
    </Card>
  )
}

interface Braked {
  what: 'removal' | 'move' | 'both'
  resources: ResourceName[]
  message: string
}

const brakes: readonly unknown[] = ['RMM_ERR_MASS_REMOVAL', 'RMM_ERR_MASS_MOVE']

/** What of this run waits for a person because too much would be removed, or get another client. */
function brakedIn(run: Run | undefined): Braked | null {
  const braked = run?.progress.filter(item => brakes.includes(item.error?.code)) ?? []
  if (braked.length === 0) return null
  const codes = new Set(braked.map(item => item.error!.code))
  return {
    what: codes.size > 1 ? 'both' : codes.has('RMM_ERR_MASS_MOVE') ? 'move' : 'removal',
    resources: braked.map(item => item.resource),
    message: braked.map(item => item.error!.message).join(' ')
  }
}

const outcomes = ['failed', 'held', 'ambiguous', 'skipped'] as const
const itemTones: Record<RunItem['outcome'], Tone> = { failed: 'bad', held: 'warn', ambiguous: 'warn', skipped: 'plain' }

function RunDetails({ run }: { run: Run }) {
  const { t } = useUi()
  const [outcome, setOutcome] = useState<RunItem['outcome'] | ''>('')
  const items = usePaged<RunItem>(`runs/${encodeURIComponent(run.id)}/items`, {
    limit: 50,
    outcome: outcome || undefined
  })
  return (
    <div>
      <Totals run={run} />
      {run.error && run.summary && <Notice>{run.summary}</Notice>}
      <h3>{t('itemsTitle')}</h3>
      {(items.items.length > 0 || outcome !== '') && (
        <Select
          label={t('outcome')}
          value={outcome}
          onChange={setOutcome}
          options={[['', t('all')], ...outcomes.map((name): [RunItem['outcome'], string] => [name, t(`item_${name}`)])]}
        />
      )}
      <PagedFrame list={items} empty={<Empty>{t('itemsNone')}</Empty>}>
        <Table label={t('itemsTitle')} columns={[t('record'), t('outcome'), t('reason')]}>
          {items.items.map((item, index) => (
            <tr key={`${item.resource} ${item.externalId} ${index}`}>
              <Cell of={t('record')} wide>
                {item.resource in { organizations: 1, devices: 1, updates: 1, alerts: 1 }
                  ? t(`resource_${item.resource as 'devices'}`)
                  : item.resource}{' '}
                <code>{item.externalId ?? ''}</code>
              </Cell>
              <Cell of={t('outcome')}>
                <Badge tone={itemTones[item.outcome]}>{t(`item_${item.outcome}`)}</Badge>
              </Cell>
              <Cell of={t('reason')} wide>
                {item.reason}
              </Cell>
            </tr>
          ))}
        </Table>
      </PagedFrame>
    </div>
  )
}
