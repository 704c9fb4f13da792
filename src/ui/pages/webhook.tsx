import { useState } from 'preact/hooks'
import type { Delivery, WebhookInfo, WebhookSecret } from '../../types.ts'
import { ApiError } from '../api.ts'
import { Ago, Badge, Card, Copy, Facts, Notice, Problem, Show, Time, type Tone } from '../components/basics.tsx'
import { Dialog } from '../components/dialog.tsx'
import { Field, NumberField, Select, submitting } from '../components/field.tsx'
import { Cell, PagedFrame, Table, usePaged } from '../components/list.tsx'
import { useDoing, useLoad, useUi } from '../context.ts'
import { pathOf, type PartProps } from '../parts.ts'

/**
 * How changes reach us without waiting for a sync: a webhook to set up on the platform, or pushes that need no
 * setting up.
 */
export function WebhookPage({ connection }: PartProps) {
  const { api, t } = useUi()
  const info = useLoad(`webhook ${connection.id}`, signal =>
    api.get<WebhookInfo>(`${pathOf(connection.id)}/webhook`, {}, signal)
  )
  const [fresh, setFresh] = useState<WebhookSecret | null>(null)
  if (info.error instanceof ApiError && info.error.code === 'RMM_ERR_NOT_SUPPORTED')
    return (
      <Card title={t('webhook')}>
        <p>{t('webhookNoPush')}</p>
      </Card>
    )
  return (
    <Show of={info}>
      {data => (
        <>
          <Card
            title={t('webhook')}
            actions={
              <Rotate
                connectionId={connection.id}
                onDone={secret => {
                  setFresh(secret)
                  info.reload()
                }}
              />
            }
          >
            <Copy label={t('webhookUrl')} value={data.url} />
            {fresh && (
              <Notice tone='ok' title={t('keepSecret')}>
                <p>{t('keepSecretText')}</p>
              </Notice>
            )}
            {fresh ? (
              <Copy label={t('webhookSecret')} value={fresh.secret} />
            ) : (
              <p>{t(data.hasSecret ? 'webhookSecretHidden' : 'webhookSecretNone')}</p>
            )}
            <Facts
              items={[
                [t('webhookLast'), <Ago key='a' at={data.lastDeliveryAt} />],
                [t('webhookSignature'), data.signatureHeader && <code key='c'>{data.signatureHeader}</code>],
                [t('webhookHeader'), data.secretHeader && <code key='c'>{data.secretHeader}</code>]
              ]}
            />
          </Card>
          <Card title={t('webhookSteps')}>
            <ol class='steps'>
              {data.instructions.map(step => (
                <li key={step}>{step}</li>
              ))}
            </ol>
            {data.events.length > 0 && (
              <>
                <h3>{t('webhookEvents')}</h3>
                <ul class='tags'>
                  {data.events.map(event => (
                    <li key={event}>
                      <code>{event}</code>
                    </li>
                  ))}
                </ul>
              </>
            )}
            {data.payloadTemplate && <Template template={data.payloadTemplate} inputs={data.templateInputs} />}
          </Card>
          <Deliveries connectionId={connection.id} />
        </>
      )}
    </Show>
  )
}

/** The body to paste, with what the operator writes already in it. */
function Template({ template, inputs }: { template: Record<string, string>; inputs: WebhookInfo['templateInputs'] }) {
  const { t } = useUi()
  const [written, setWritten] = useState<Record<string, string>>({})
  const set = (field: string) => (value: string) => setWritten(before => ({ ...before, [field]: value }))
  const filled = { ...template, ...Object.fromEntries(Object.entries(written).filter(([, value]) => value !== '')) }
  return (
    <>
      {inputs.map(({ field, label, choices }) =>
        choices === null ? (
          <Field key={field} label={label}>
            {props => (
              <input
                {...props}
                type='text'
                maxLength={200}
                placeholder={template[field]}
                value={written[field] ?? ''}
                onInput={event => set(field)(event.currentTarget.value)}
              />
            )}
          </Field>
        ) : (
          <Select
            key={field}
            label={label}
            value={written[field] ?? template[field] ?? ''}
            onChange={set(field)}
            options={choices.map((choice): [string, string] => [choice, choice])}
          />
        )
      )}
      <Copy label={t('webhookTemplate')} value={JSON.stringify(filled, null, 2)} />
    </>
  )
}

function Rotate({ connectionId, onDone }: { connectionId: string; onDone: (secret: WebhookSecret) => void }) {
  const { api, t } = useUi()
  const doing = useDoing()
  const [open, setOpen] = useState(false)
  const [graceMinutes, setGrace] = useState(60)
  const rotate = () =>
    void doing.run(async () => {
      onDone(await api.send('POST', `${pathOf(connectionId)}/webhook/rotate`, { graceMinutes }))
      setOpen(false)
    })
  return (
    <>
      <button type='button' onClick={() => setOpen(true)}>
        {t('webhookRotate')}
      </button>
      {open && (
        <Dialog title={t('webhookRotateTitle')} onClose={() => setOpen(false)}>
          <form noValidate onSubmit={submitting(rotate)}>
            <p>{t('webhookRotateText')}</p>
            <NumberField label={t('webhookGrace')} value={graceMinutes} min={0} max={10_080} onInput={setGrace} />
            <Problem error={doing.error} retry={doing.retry} />
            <div class='row end'>
              <button type='button' onClick={() => setOpen(false)}>
                {t('cancel')}
              </button>
              <button
                type='submit'
                class='primary'
                disabled={doing.busy || !(graceMinutes >= 0 && graceMinutes <= 10_080)}
              >
                {t('webhookRotateAction')}
              </button>
            </div>
          </form>
        </Dialog>
      )}
    </>
  )
}

const tones: Record<Delivery['status'], Tone> = {
  pending: 'plain',
  done: 'ok',
  ignored: 'plain',
  unusable: 'bad',
  dead: 'bad'
}

function Deliveries({ connectionId }: { connectionId: string }) {
  const { api, t, fmt } = useUi()
  const doing = useDoing()
  const list = usePaged<Delivery>(`${pathOf(connectionId)}/deliveries`, { limit: 20 })
  const replay = (id: string) =>
    void doing.run(async () => {
      const replayed: Delivery = await api.send('POST', `deliveries/${encodeURIComponent(id)}/replay`)
      list.replace(replayed, other => other.id === id)
    })
  return (
    <Card
      title={t('deliveries')}
      actions={
        <button type='button' class='quiet' onClick={list.reload}>
          {t('refresh')}
        </button>
      }
    >
      <Problem error={doing.error} retry={doing.retry} />
      <PagedFrame list={list} empty={t('deliveriesNone')}>
        <Table label={t('deliveries')} columns={[t('received'), t('event'), t('status'), t('attempts'), t('actions')]}>
          {list.items.map(delivery => (
            <tr key={delivery.id}>
              <Cell of={t('received')}>
                <Time at={delivery.receivedAt} />
              </Cell>
              <Cell of={t('event')} wide>
                <code>{delivery.eventType}</code>
                {delivery.lastError && <span class='wrong block'>{delivery.lastError}</span>}
              </Cell>
              <Cell of={t('status')}>
                <Badge tone={tones[delivery.status]}>{t(`delivery_${delivery.status}`)}</Badge>
              </Cell>
              <Cell of={t('attempts')}>{delivery.attempts}</Cell>
              <Cell of={t('actions')}>
                <button
                  type='button'
                  class='quiet'
                  disabled={doing.busy}
                  aria-label={t('replayLabel', { time: fmt.time(delivery.receivedAt) })}
                  onClick={() => replay(delivery.id)}
                >
                  {t('replay')}
                </button>
              </Cell>
            </tr>
          ))}
        </Table>
      </PagedFrame>
    </Card>
  )
}
