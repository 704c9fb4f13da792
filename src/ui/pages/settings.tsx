import { useState } from 'preact/hooks'
import type { Connection, ConnectionTest, MovePolicy } from '../../types.ts'
import { Card, Notice, Problem, Warnings } from '../components/basics.tsx'
import { Dialog } from '../components/dialog.tsx'
import { Field, Select, submitting } from '../components/field.tsx'
import { SchemaFields } from '../components/schema-form.tsx'
import { useDoing, useUi, useUnsaved } from '../context.ts'
import { Duplicate, useCredentials } from './connect.tsx'
import { pathOf, type PartProps } from '../parts.ts'

/** Asks the platform whether it still takes the stored secrets. */
export function TestButton({ id, onDone }: { id: string; onDone: () => void }) {
  const { api, t } = useUi()
  const doing = useDoing()
  const [result, setResult] = useState<ConnectionTest | null>(null)
  const test = () => {
    setResult(null)
    void doing.run(async () => setResult(await api.send('POST', `${pathOf(id)}/test`))).then(onDone)
  }
  return (
    <div class='answer'>
      <button type='button' disabled={doing.busy} onClick={test}>
        {t(doing.busy ? 'testing' : 'test')}
      </button>
      <Problem error={doing.error} retry={doing.retry} />
      {result && <Notice tone='ok' title={t('testOk', { account: result.account })} />}
      {result && <Warnings warnings={result.warnings} />}
    </div>
  )
}

export function ConnectionSettings({ connection, provider, set }: PartProps) {
  return (
    <>
      <General key={`g${connection.name}${connection.movePolicy}`} connection={connection} set={set} />
      <Credentials
        key={`c${JSON.stringify(connection.config)}${connection.status}`}
        connection={connection}
        provider={provider}
        set={set}
      />
      <Disconnect connection={connection} />
    </>
  )
}

function General({ connection, set }: { connection: Connection; set: (connection: Connection) => void }) {
  const { api, t, announce } = useUi()
  const doing = useDoing()
  const [name, setName] = useState(connection.name)
  const [movePolicy, setMovePolicy] = useState<MovePolicy>(connection.movePolicy)
  const dirty = name.trim() !== connection.name || movePolicy !== connection.movePolicy
  useUnsaved(dirty)
  const save = () =>
    void doing.run(async () => {
      set(await api.send('PATCH', pathOf(connection.id), { name: name.trim(), movePolicy }))
      announce(t('saved'))
    })
  return (
    <Card title={t('general')}>
      <form class='narrow' noValidate onSubmit={submitting(save)}>
        <Field
          label={t('connectionName')}
          help={t('connectionNameHelp')}
          error={name.trim() === '' ? t('required') : null}
        >
          {props => (
            <input
              {...props}
              type='text'
              maxLength={200}
              value={name}
              onInput={event => setName(event.currentTarget.value)}
            />
          )}
        </Field>
        <Select
          label={t('movePolicy')}
          value={movePolicy}
          onChange={setMovePolicy}
          options={[
            ['follow', t('moveFollow')],
            ['hold', t('moveHold')]
          ]}
        />
        <Problem error={doing.error} retry={doing.retry} />
        <div class='row'>
          <button type='submit' class='primary' disabled={doing.busy || !dirty || name.trim() === ''}>
            {t('save')}
          </button>
        </div>
      </form>
    </Card>
  )
}

/** New secrets in place of the stored ones: to rotate them, or to reconnect. */
function Credentials({ connection, provider, set }: Omit<PartProps, 'reload'>) {
  const { api, t, announce } = useUi()
  const doing = useDoing()
  const form = useCredentials(provider, connection.config, doing.error)
  const [touched, setTouched] = useState(false)
  useUnsaved(touched)
  const gone = connection.status === 'disconnected'
  const [done, setDone] = useState(false)
  const save = (allowDuplicate = false) => {
    if (!form.ready()) return
    void doing.run(async () => {
      const changed: Connection = await api.send('PATCH', pathOf(connection.id), {
        ...form.body(),
        ...(allowDuplicate ? { allowDuplicate } : {})
      })
      form.clearSecrets()
      setTouched(false)
      setDone(true)
      announce(t('saved'))
      set(changed)
    })
  }
  return (
    <Card title={t(gone ? 'reconnect' : 'rotateCredentials')}>
      <form
        class='narrow'
        noValidate
        onSubmit={submitting(() => save())}
        onInput={() => {
          setTouched(true)
          setDone(false)
        }}
      >
        <p class='muted'>
          {t(gone ? 'reconnectHelp' : 'rotateCredentialsHelp')}
          {!gone && ` ${t('secretStored')}`}
        </p>
        <SchemaFields
          schema={provider.configSchema}
          values={form.config}
          wrong={form.wrong.config}
          onChange={form.setConfig}
        />
        <SchemaFields
          schema={provider.secretSchema}
          values={form.secrets}
          wrong={form.wrong.secrets}
          secret
          onChange={form.setSecrets}
        />
        {!form.located && <Problem error={doing.error} retry={() => save()} />}
        <Duplicate error={doing.error} anyway={() => save(true)} />
        {done && <Notice tone='ok' title={t('saved')} />}
        <div class='row'>
          <button type='submit' class='primary' disabled={doing.busy}>
            {t(doing.busy ? 'connecting' : gone ? 'reconnect' : 'saveChecked')}
          </button>
        </div>
      </form>
    </Card>
  )
}

function Disconnect({ connection }: { connection: Connection }) {
  const { t } = useUi()
  const [open, setOpen] = useState(false)
  return (
    <Card title={t('disconnect')}>
      <p class='muted'>{t('disconnectHelp')}</p>
      <div class='row'>
        <button type='button' class='danger' onClick={() => setOpen(true)}>
          {t('disconnect')}…
        </button>
      </div>
      {open && <DisconnectDialog connection={connection} onClose={() => setOpen(false)} />}
    </Card>
  )
}

function DisconnectDialog({ connection, onClose }: { connection: Connection; onClose: () => void }) {
  const { api, t, router } = useUi()
  const doing = useDoing()
  const gone = connection.status === 'disconnected'
  const [mode, setMode] = useState<'keep' | 'purge'>(gone ? 'purge' : 'keep')
  const [typed, setTyped] = useState('')
  const devices = t('countDevices', { count: connection.counts.devices })
  const remove = () =>
    void doing.run(async () => {
      await api.send('DELETE', `${pathOf(connection.id)}?mode=${mode}`)
      onClose()
      router.go('')
    })
  const options = [
    ['keep', 'modeKeep', 'modeKeepHelp'],
    ['purge', 'modePurge', 'modePurgeHelp']
  ] as const
  return (
    <Dialog title={t('disconnectTitle', { name: connection.name })} onClose={onClose}>
      <form noValidate onSubmit={submitting(remove)}>
        {options
          .filter(([value]) => !gone || value === 'purge')
          .map(([value, title, help]) => (
            <label class='choice' key={value}>
              <input type='radio' name='mode' checked={mode === value} onChange={() => setMode(value)} />
              <span>
                <strong>{t(title)}</strong>
                <span class='help'>{t(help, { devices })}</span>
              </span>
            </label>
          ))}
        {mode === 'purge' && (
          <Field label={t('purgeConfirm')} help={connection.name}>
            {props => (
              <input
                {...props}
                type='text'
                autocomplete='off'
                spellcheck={false}
                value={typed}
                onInput={event => setTyped(event.currentTarget.value)}
              />
            )}
          </Field>
        )}
        <Problem error={doing.error} retry={doing.retry} />
        <div class='row end'>
          <button type='button' onClick={onClose}>
            {t('cancel')}
          </button>
          <button
            type='submit'
            class='danger'
            disabled={doing.busy || (mode === 'purge' && typed.trim() !== connection.name.trim())}
          >
            {t(mode === 'purge' ? 'modePurgeAction' : 'disconnect')}
          </button>
        </div>
      </form>
    </Dialog>
  )
}
