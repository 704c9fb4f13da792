import { useMemo, useState } from 'preact/hooks'
import type { CreatedConnection, ProviderInfo } from '../../types.ts'
import { ApiError } from '../api.ts'
import { Copy, Link, Notice, Problem, Warnings } from '../components/basics.tsx'
import { Field, submitting } from '../components/field.tsx'
import { check, filled, initial, locate, SchemaFields, type Values, type Wrong } from '../components/schema-form.tsx'
import { useDoing, useProviders, useUi, useUnsaved } from '../context.ts'

export function ConnectPage({ providerId }: { providerId: string }) {
  const { t } = useUi()
  const provider = useProviders().get(providerId)
  const [made, setMade] = useState<CreatedConnection | null>(null)
  if (provider === undefined) return <Problem error={new Error(t('notFound'))} />
  return (
    <>
      <h1>{t(made ? 'connectedTitle' : 'connectTo', { name: made?.connection.name ?? provider.name })}</h1>
      {made ? <Done made={made} /> : <ConnectForm provider={provider} onDone={setMade} />}
    </>
  )
}

/** The state of a form over a provider's two schemas, and where its errors belong. */
export function useCredentials(provider: ProviderInfo, stored: Values, error: unknown) {
  const { t } = useUi()
  const [config, setConfig] = useState(() => initial(provider.configSchema, stored))
  const [secrets, setSecrets] = useState(() => initial(provider.secretSchema))
  const [wrong, setWrong] = useState<{ config: Wrong; secrets: Wrong }>({ config: {}, secrets: {} })
  const remote = useMemo(
    () =>
      locate(error, [
        ['config', provider.configSchema],
        ['secrets', provider.secretSchema]
      ]),
    [error, provider]
  )
  const shown = useMemo(() => {
    const of = (part: 'config' | 'secrets'): Wrong =>
      remote?.part === part ? { ...wrong[part], [remote.name]: remote.message } : wrong[part]
    return { config: of('config'), secrets: of('secrets') }
  }, [remote, wrong])
  return {
    config,
    setConfig,
    secrets,
    setSecrets,
    wrong: shown,
    /** True where the error is shown at its field already. */
    located: remote !== null,
    /** Checks what can be checked here; false where something is wrong. */
    ready(): boolean {
      const found = {
        config: check(provider.configSchema, config, t),
        secrets: check(provider.secretSchema, secrets, t)
      }
      setWrong(found)
      return Object.keys(found.config).length + Object.keys(found.secrets).length === 0
    },
    clearSecrets: () => setSecrets(initial(provider.secretSchema)),
    body: () => ({ config: filled(provider.configSchema, config), secrets: filled(provider.secretSchema, secrets) })
  }
}

/** Where an account is connected already: the way to that connection, and the way past it. */
export function Duplicate({ error, anyway }: { error: unknown; anyway: () => void }) {
  const { t } = useUi()
  if (!(error instanceof ApiError) || error.connectionId === null) return null
  return (
    <div class='row'>
      <Link class='button' to={`connections/${encodeURIComponent(error.connectionId)}/settings`}>
        {t('duplicateOpen')}
      </Link>
      <button type='button' class='danger' onClick={anyway}>
        {t('duplicateAnyway')}
      </button>
    </div>
  )
}

function ConnectForm({ provider, onDone }: { provider: ProviderInfo; onDone: (made: CreatedConnection) => void }) {
  const { api, t, router } = useUi()
  const doing = useDoing()
  const [name, setName] = useState(provider.name)
  const form = useCredentials(provider, {}, doing.error)
  const [touched, setTouched] = useState(false)
  useUnsaved(touched)
  const submit = (allowDuplicate = false) => {
    if (!form.ready()) return
    void doing.run(async () =>
      onDone(
        await api.send('POST', 'connections', {
          provider: provider.id,
          name: name.trim() || provider.name,
          ...form.body(),
          ...(allowDuplicate ? { allowDuplicate } : {})
        })
      )
    )
  }
  return (
    <form class='card narrow' noValidate onSubmit={submitting(() => submit())} onInput={() => setTouched(true)}>
      <p class='muted'>{t('connectIntro')}</p>
      <Field label={t('connectionName')} help={t('connectionNameHelp')}>
        {props => (
          <input
            {...props}
            type='text'
            maxLength={200}
            autocomplete='off'
            value={name}
            onInput={event => setName(event.currentTarget.value)}
          />
        )}
      </Field>
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
      {!form.located && <Problem error={doing.error} retry={() => submit()} />}
      <Duplicate error={doing.error} anyway={() => submit(true)} />
      <div class='row'>
        <button type='submit' class='primary' disabled={doing.busy}>
          {t(doing.busy ? 'connecting' : 'connect')}
        </button>
        <button type='button' onClick={() => router.go('')}>
          {t('cancel')}
        </button>
      </div>
    </form>
  )
}

function Done({ made: { connection, webhook, warnings } }: { made: CreatedConnection }) {
  const { t } = useUi()
  return (
    <div class='card narrow'>
      <Notice tone='ok' title={t('testOk', { account: connection.account ?? connection.name })} />
      <Warnings warnings={warnings} />
      {webhook && (
        <>
          <h2>{t('keepSecret')}</h2>
          <p>{t(webhook.url === null ? 'keepSecretNoAddress' : 'keepSecretText')}</p>
          {webhook.url !== null && <Copy label={t('webhookUrl')} value={webhook.url} />}
          <Copy label={t('webhookSecret')} value={webhook.secret} />
        </>
      )}
      <h2>{t('nextSteps')}</h2>
      <ol class='steps'>
        <li>{t('stepSync')}</li>
        <li>{t('stepMap')}</li>
      </ol>
      <div class='row'>
        <Link class='button primary' to={`connections/${connection.id}/sync`}>
          {t('openSync')}
        </Link>
        {webhook !== null && webhook.url !== null && (
          <Link class='button' to={`connections/${connection.id}/webhook`}>
            {t('webhookSteps')}
          </Link>
        )}
      </div>
    </div>
  )
}
