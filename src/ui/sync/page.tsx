import { useEffect, useState } from 'preact/hooks'
import type { Capabilities, List, ResourceName, Run, SyncMode, SyncRequest } from '../../types.ts'
import { Card, Notice, Problem } from '../components/basics.tsx'
import { Check, Select, submitting } from '../components/field.tsx'
import { type Doing, useDoing, useUi } from '../context.ts'
import { History } from './history.tsx'
import { ended, RunProgress, useWatched } from './progress.tsx'
import { ScheduleForm } from './schedule.tsx'
import type { PartProps } from '../parts.ts'

const resources: Array<[ResourceName, keyof Capabilities]> = [
  ['organizations', 'scopeSync'],
  ['devices', 'deviceSync'],
  ['updates', 'patchSync'],
  ['alerts', 'alertSync']
]

export function SyncPage({ connection, provider, reload, set }: PartProps) {
  const { api, t, announce } = useUi()
  const doing = useDoing()
  const [runId, setRunId] = useState<string | null>(null)
  const [turn, setTurn] = useState(0)
  const [deduplicated, setDeduplicated] = useState(false)
  const base = `connections/${encodeURIComponent(connection.id)}`
  const watched = useWatched(runId, run => {
    announce(t(`run_${run.status}`))
    setTurn(turn => turn + 1)
    reload()
  })
  // A run that is under way already, by schedule or by somebody else, is shown as well.
  useEffect(() => {
    const leaving = new AbortController()
    api.get<List<Run>>(`${base}/runs`, { limit: 1 }, leaving.signal).then(
      ({ items: [latest] }) => {
        if (latest !== undefined && !ended(latest)) setRunId(before => before ?? latest.id)
      },
      () => {}
    ) // The history below loads the same and says what is wrong.
    return () => leaving.abort()
  }, [api, base])
  const start = (request: SyncRequest) =>
    void doing.run(async () => {
      const started: { run: Run; deduplicated: boolean } = await api.send('POST', `${base}/sync`, request)
      setDeduplicated(started.deduplicated)
      setRunId(started.run.id)
      setTurn(turn => turn + 1)
    })
  const active = watched.run !== null && !ended(watched.run)
  return (
    <>
      {connection.status !== 'disconnected' && (
        <StartForm
          offered={resources.filter(([, capability]) => provider.capabilities[capability]).map(([name]) => name)}
          doing={doing}
          active={active}
          onStart={start}
        />
      )}
      {deduplicated && <Notice title={t('alreadyRunning')} />}
      {runId !== null && <RunProgress watched={watched} />}
      {connection.status !== 'disconnected' && (
        <ScheduleForm key={JSON.stringify(connection.schedule)} connection={connection} set={set} />
      )}
      <History
        connectionId={connection.id}
        turn={turn}
        active={active}
        onForce={resources => start({ resources, mode: 'full', force: true })}
      />
    </>
  )
}

function StartForm({
  offered,
  doing,
  active,
  onStart
}: {
  offered: ResourceName[]
  doing: Doing
  active: boolean
  onStart: (request: SyncRequest) => void
}) {
  const { t } = useUi()
  const [chosen, setChosen] = useState<ResourceName[]>(offered)
  const [mode, setMode] = useState<SyncMode>('full')
  const toggle = (name: ResourceName, on: boolean) =>
    setChosen(offered.filter(other => (other === name ? on : chosen.includes(other))))
  return (
    <Card title={t('syncStart')}>
      <form class='narrow' onSubmit={submitting(() => onStart({ resources: chosen, mode }))}>
        <fieldset class='inline'>
          <legend>{t('syncRead')}</legend>
          {offered.map(name => (
            <Check
              key={name}
              label={t(`resource_${name}`)}
              checked={chosen.includes(name)}
              onChange={on => toggle(name, on)}
            />
          ))}
        </fieldset>
        <Select
          label={t('syncMode')}
          value={mode}
          onChange={setMode}
          options={[
            ['full', t('modeFull')],
            ['incremental', t('modeIncremental')]
          ]}
        />
        <Problem error={doing.error} retry={doing.retry} />
        <div class='row'>
          <button type='submit' class='primary' disabled={doing.busy || active || chosen.length === 0}>
            {t('start')}
          </button>
        </div>
      </form>
    </Card>
  )
}
