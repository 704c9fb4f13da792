import { useEffect, useRef, useState } from 'preact/hooks'
import type { ResourceProgress, Run } from '../../types.ts'
import { Badge, Card, Facts, Loading, Notice, Problem, type Tone } from '../components/basics.tsx'
import { Cell, Table } from '../components/list.tsx'
import { useDoing, useUi } from '../context.ts'

export interface Watched {
  run: Run | null
  lost: boolean
  error: unknown
  retry: () => void
}

export const runTones: Record<Run['status'], Tone> = {
  queued: 'plain',
  running: 'plain',
  succeeded: 'ok',
  partial: 'warn',
  failed: 'bad',
  interrupted: 'warn',
  cancelled: 'warn'
}

const resourceTones: Record<ResourceProgress['status'], Tone> = {
  waiting: 'plain',
  reading: 'plain',
  complete: 'ok',
  failed: 'bad',
  skipped: 'plain'
}
const resourceStates = {
  waiting: 'waiting',
  reading: 'reading',
  complete: 'complete',
  failed: 'run_failed',
  skipped: 'notRead'
} as const

/** Whether nothing more comes of it. */
export const ended = (run: Run) => run.finishedAt !== null

/** A run as it changes, from the server's event stream. `onEnd` is called once, with its final state. */
export function useWatched(runId: string | null, onEnd: (run: Run) => void): Watched {
  const { api } = useUi()
  const [state, setState] = useState<{ run: Run | null; lost: boolean; error: unknown }>({
    run: null,
    lost: false,
    error: undefined
  })
  const [turn, setTurn] = useState(0)
  const finish = useRef(onEnd)
  finish.current = onEnd
  useEffect(() => {
    if (runId === null) return
    const leaving = new AbortController()
    let latest: Run | null = null
    setState({ run: null, lost: false, error: undefined })
    api
      .watch(
        runId,
        run => {
          latest = run
          setState(before => ({ ...before, run }))
        },
        lost => setState(before => (before.lost === lost ? before : { ...before, lost })),
        leaving.signal
      )
      .then(
        () => {
          if (!leaving.signal.aborted && latest !== null) finish.current(latest)
        },
        error => {
          if (!leaving.signal.aborted) setState(before => ({ ...before, error }))
        }
      )
    return () => leaving.abort()
  }, [api, runId, turn])
  return { ...state, retry: () => setTurn(turn => turn + 1) }
}

export function RunProgress({ watched: { run, lost, error, retry } }: { watched: Watched }) {
  const { api, t, fmt } = useUi()
  const doing = useDoing()
  const cancel = () =>
    void doing.run(async () => {
      await api.send('POST', `runs/${encodeURIComponent(run!.id)}/cancel`)
    })
  if (run === null)
    return (
      <Card title={t('progress')}>
        {error ? (
          <Problem error={error} retry={retry} />
        ) : lost ? (
          <Notice tone='warn' title={t('streamLost')} />
        ) : (
          <Loading />
        )}
      </Card>
    )
  const active = !ended(run)
  return (
    <Card
      title={
        <>
          {t('progress')} <Badge tone={runTones[run.status]}>{t(`run_${run.status}`)}</Badge>
        </>
      }
      actions={
        active && (
          <button type='button' disabled={doing.busy} onClick={cancel}>
            {t(doing.busy ? 'cancelling' : 'cancelSync')}
          </button>
        )
      }
    >
      {error !== undefined && <Problem error={error} retry={retry} />}
      {lost && active && <Notice tone='warn' title={t('streamLost')} />}
      <Problem error={doing.error} retry={doing.retry} />
      <Table label={t('progress')} columns={[t('syncRead'), t('pages'), t('records'), t('state')]}>
        {run.progress.map(({ resource, pages, processed, status, error }) => (
          <tr key={resource}>
            <Cell of={t('syncRead')}>{t(`resource_${resource}`)}</Cell>
            <Cell of={t('pages')}>{fmt.number(pages)}</Cell>
            <Cell of={t('records')}>{fmt.number(processed)}</Cell>
            <Cell of={t('state')}>
              <Badge tone={resourceTones[status]}>{t(resourceStates[status])}</Badge>
              {error && <span class='small block'>{error.message}</span>}
            </Cell>
          </tr>
        ))}
      </Table>
      <Totals run={run} />
      {run.summary && <p>{run.summary}</p>}
      {run.error && <p class='wrong'>{run.error.message}</p>}
    </Card>
  )
}

export function Totals({ run: { totals } }: { run: Run }) {
  const { t, fmt } = useUi()
  return (
    <Facts
      items={[
        [t('totalCreated'), fmt.number(totals.created)],
        [t('totalUpdated'), fmt.number(totals.updated)],
        [t('totalUnchanged'), fmt.number(totals.unchanged)],
        [t('totalRemoved'), fmt.number(totals.removed)],
        [t('totalUnmapped'), fmt.number(totals.unmapped)],
        [t('totalFailed'), fmt.number(totals.failed)]
      ]}
    />
  )
}
