import { useEffect, useState } from 'preact/hooks'
import type { Alert, AlertSeverity, Connection } from '../../types.ts'
import type { Query } from '../api.ts'
import { Ago, Badge, Card, Link, Problem, type Tone } from '../components/basics.tsx'
import { Select } from '../components/field.tsx'
import { Cell, PagedFrame, Table, usePaged } from '../components/list.tsx'
import { useDoing, useLoad, useProviders, useUi } from '../context.ts'
import { ConnectionSelect } from './devices.tsx'

const severities: AlertSeverity[] = ['critical', 'major', 'moderate', 'minor']
const tones: Record<AlertSeverity, Tone> = { critical: 'bad', major: 'bad', moderate: 'warn', minor: 'plain' }

export function AlertsPage() {
  const { t, router } = useUi()
  const [status, setStatus] = useState<'' | Alert['status']>('active')
  const [severity, setSeverity] = useState<'' | AlertSeverity>('')
  const [connectionId, setConnection] = useState(router.query.get('connectionId') ?? '')
  useEffect(() => setConnection(router.query.get('connectionId') ?? ''), [router.query])
  return (
    <>
      <h1>{t('alerts')}</h1>
      <Card>
        <div class='filters'>
          <Select
            label={t('status')}
            value={status}
            onChange={setStatus}
            options={[
              ['', t('all')],
              ['active', t('active')],
              ['resolved', t('resolved')]
            ]}
          />
          <Select
            label={t('severity')}
            value={severity}
            onChange={setSeverity}
            options={[
              ['', t('all')],
              ...severities.map((name): [AlertSeverity, string] => [name, t(`severity_${name}`)])
            ]}
          />
          <ConnectionSelect value={connectionId} onChange={setConnection} />
        </div>
        <AlertTable query={{ status, severity, connectionId, limit: 50 }} />
      </Card>
    </>
  )
}

/**
 * Alerts, each with its way to be resolved where the platform has one. `onDevice`: on the page of the device itself.
 */
export function AlertTable({ query, onDevice = false }: { query: Query; onDevice?: boolean }) {
  const { api, t, announce } = useUi()
  const providers = useProviders()
  const connections = useLoad('connections', signal => api.all<Connection>('connections', { signal }))
  const list = usePaged<Alert>('alerts', query)
  const doing = useDoing()
  const [busy, setBusy] = useState<string | null>(null)
  const canResolve = (alert: Alert) => {
    const connection = connections.data?.find(({ id }) => id === alert.connectionId)
    return (
      alert.status === 'active' &&
      connection !== undefined &&
      connection.status !== 'disconnected' &&
      providers.get(connection.provider)?.capabilities.alertResolve === true
    )
  }
  const resolve = ({ id, name }: Alert) => {
    setBusy(id)
    void doing.run(async () => {
      const resolved: Alert = await api.send('POST', `alerts/${encodeURIComponent(id)}/resolve`)
      list.replace(resolved, other => other.id === id)
      announce(`${name}: ${t('resolved')}`)
    })
  }
  const columns = [t('name'), t('severity'), ...(onDevice ? [] : [t('device')]), t('since'), t('status')]
  return (
    <>
      <Problem error={doing.error} retry={doing.retry} />
      <PagedFrame list={list} empty={t('alertsNone')}>
        <Table label={t('alerts')} columns={columns}>
          {list.items.map(alert => (
            <tr key={alert.id}>
              <Cell of={t('name')} wide>
                {alert.name}
                {alert.description && <span class='muted small block'>{alert.description}</span>}
              </Cell>
              <Cell of={t('severity')}>
                <Badge tone={tones[alert.severity]}>{t(`severity_${alert.severity}`)}</Badge>
              </Cell>
              {!onDevice && (
                <Cell of={t('device')}>
                  {alert.deviceId ? (
                    <Link to={`devices/${alert.deviceId}`}>{alert.deviceName ?? t('device')}</Link>
                  ) : (
                    <span class='muted'>{t('none')}</span>
                  )}
                </Cell>
              )}
              <Cell of={t('since')}>
                <Ago at={alert.startedAt} />
              </Cell>
              <Cell of={t('status')}>
                {canResolve(alert) ? (
                  <button
                    type='button'
                    class='quiet'
                    disabled={doing.busy && busy === alert.id}
                    aria-label={t('resolveLabel', { name: alert.name })}
                    onClick={() => resolve(alert)}
                  >
                    {t('resolve')}
                  </button>
                ) : alert.status === 'resolved' ? (
                  <span class='muted'>
                    {t('resolved')} <Ago at={alert.resolvedAt} />
                  </span>
                ) : (
                  <Badge tone='warn'>{t('active')}</Badge>
                )}
              </Cell>
            </tr>
          ))}
        </Table>
      </PagedFrame>
    </>
  )
}
