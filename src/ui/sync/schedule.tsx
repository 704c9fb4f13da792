import { useState } from 'preact/hooks'
import type { Connection } from '../../types.ts'
import { Ago, Card, Notice, Problem } from '../components/basics.tsx'
import { Check, NumberField, submitting } from '../components/field.tsx'
import { useDoing, useUi, useUnsaved } from '../context.ts'

/** Bounds of the API, in minutes. */
const every = { min: 15, max: 1440 }
const full = { min: 15, max: 43_200 }

export function ScheduleForm({ connection, set }: { connection: Connection; set: (connection: Connection) => void }) {
  const { api, t, announce } = useUi()
  const doing = useDoing()
  const [schedule, setSchedule] = useState(connection.schedule)
  const [done, setDone] = useState(false)
  const dirty = JSON.stringify(schedule) !== JSON.stringify(connection.schedule)
  useUnsaved(dirty)
  const within = (value: number, { min, max }: typeof every) => Number.isInteger(value) && value >= min && value <= max
  const valid =
    within(schedule.everyMinutes, every) &&
    within(schedule.fullEveryMinutes, full) &&
    schedule.fullEveryMinutes >= schedule.everyMinutes
  const change = (part: Partial<typeof schedule>) => {
    setSchedule({ ...schedule, ...part })
    setDone(false)
  }
  const save = () =>
    void doing.run(async () => {
      const saved: Connection = await api.send('PATCH', `connections/${encodeURIComponent(connection.id)}`, {
        schedule
      })
      announce(t('saved'))
      setDone(true)
      set(saved)
    })
  return (
    <Card title={t('schedule')}>
      <form class='narrow' noValidate onSubmit={submitting(save)}>
        <Check label={t('scheduleOn')} checked={schedule.enabled} onChange={enabled => change({ enabled })} />
        {schedule.enabled && (
          <div class='pair'>
            <NumberField
              label={t('everyMinutes')}
              value={schedule.everyMinutes}
              {...every}
              help={t('everyHelp')}
              onInput={everyMinutes => change({ everyMinutes })}
            />
            <NumberField
              label={t('fullEveryMinutes')}
              value={schedule.fullEveryMinutes}
              min={Math.max(full.min, schedule.everyMinutes || 0)}
              max={full.max}
              help={t('fullHelp')}
              onInput={fullEveryMinutes => change({ fullEveryMinutes })}
            />
          </div>
        )}
        <p class='muted small'>
          {t('lastScheduled')}: <Ago at={connection.lastScheduledSyncAt} />
        </p>
        <Problem error={doing.error} retry={doing.retry} />
        {done && <Notice tone='ok' title={t('saved')} />}
        <div class='row'>
          <button type='submit' class='primary' disabled={doing.busy || !dirty || !valid}>
            {t('save')}
          </button>
        </div>
      </form>
    </Card>
  )
}
