import { useEffect } from 'preact/hooks'
import type { Connection, ProviderInfo } from '../../types.ts'
import { Ago, Card, Facts, Link, Notice, Show, Time } from '../components/basics.tsx'
import { useLoad, useProviders, useUi } from '../context.ts'
import { MappingPage } from '../mapping/page.tsx'
import type { PartProps } from '../parts.ts'
import type { StringKey } from '../strings.ts'
import { SyncPage } from '../sync/page.tsx'
import { ConnectionTitle } from './connections.tsx'
import { DeviceGroupsPage } from './device-groups.tsx'
import { ConnectionSettings, TestButton } from './settings.tsx'
import { WebhookPage } from './webhook.tsx'

/** The parts of a connection, each there only where the provider can do it. */
const parts: Array<{
  id: string
  title: StringKey
  offered: (provider: ProviderInfo) => boolean
  Part: (props: PartProps) => preact.JSX.Element
}> = [
  { id: '', title: 'overview', offered: () => true, Part: Overview },
  { id: 'mapping', title: 'mapping', offered: ({ capabilities }) => capabilities.scopeSync, Part: MappingPage },
  {
    id: 'sync',
    title: 'sync',
    offered: ({ capabilities }) => capabilities.scopeSync || capabilities.deviceSync,
    Part: SyncPage
  },
  {
    id: 'groups',
    title: 'deviceGroups',
    offered: ({ capabilities }) => capabilities.deviceGroups,
    Part: DeviceGroupsPage
  },
  { id: 'webhook', title: 'webhook', offered: ({ capabilities }) => capabilities.events, Part: WebhookPage },
  { id: 'settings', title: 'settings', offered: () => true, Part: ConnectionSettings }
]

export function ConnectionPage({ id, part }: { id: string; part: string }) {
  const { api, t } = useUi()
  const connection = useLoad(`connection ${id}`, signal =>
    api.get<Connection>(`connections/${encodeURIComponent(id)}`, {}, signal)
  )
  const provider = useProviders().get(connection.data?.provider ?? '')
  // Counts change while one looks at another part.
  useEffect(() => {
    if (connection.data) connection.reload()
  }, [part])
  return (
    <Show of={connection}>
      {data => {
        const offered = parts.filter(({ offered }) => provider !== undefined && offered(provider))
        const shown = offered.find(({ id }) => id === part)
        return (
          <>
            <ConnectionTitle connection={data} />
            <nav class='tabs' aria-label={data.name}>
              {offered.map(({ id: at, title }) => (
                <Link key={at} to={`connections/${id}${at && `/${at}`}`} current={at === part}>
                  {t(title)}
                </Link>
              ))}
            </nav>
            {provider && shown ? (
              <shown.Part
                key={shown.id}
                connection={data}
                provider={provider}
                reload={connection.reload}
                set={connection.set}
              />
            ) : (
              <p>{t('notFound')}</p>
            )}
          </>
        )
      }}
    </Show>
  )
}

function Overview({ connection, provider, reload }: PartProps) {
  const { t, fmt } = useUi()
  const { counts, id } = connection
  return (
    <>
      <NextStep connection={connection} provider={provider} />
      <Card
        title={t('overview')}
        actions={connection.status !== 'disconnected' && <TestButton id={id} onDone={reload} />}
      >
        <Facts
          items={
            [
              [t('account'), connection.account],
              [t('connectedSince'), <Time key='t' at={connection.connectedAt} />],
              [t('lastSync'), <Ago key='a' at={connection.lastSyncAt} />],
              [t('lastFullSync'), <Ago key='a' at={connection.lastFullSyncAt} />],
              [
                t('mappedGroups'),
                provider.capabilities.scopeSync &&
                  t('ofCount', { count: counts.mappedOrganizations, total: counts.organizations })
              ],
              [
                t('devices'),
                <Link key='l' to={`devices?connectionId=${id}`}>
                  {fmt.number(counts.devices)}
                </Link>
              ],
              [t('devicesOnline'), fmt.number(counts.onlineDevices)],
              [
                t('devicesUnmapped'),
                counts.unmappedDevices > 0 ? (
                  <Link to={`devices?connectionId=${id}&mapped=false`}>{fmt.number(counts.unmappedDevices)}</Link>
                ) : (
                  fmt.number(0)
                )
              ],
              [
                t('activeAlerts'),
                provider.capabilities.alertSync && (
                  <Link key='l' to={`alerts?connectionId=${id}`}>
                    {fmt.number(counts.activeAlerts)}
                  </Link>
                )
              ]
            ].filter(([, value]) => value !== false) as Array<[string, preact.ComponentChildren]>
          }
        />
      </Card>
      {connection.syncError && (
        <Notice
          tone={connection.syncStatus === 'failed' ? 'bad' : 'warn'}
          title={t(connection.syncStatus === 'failed' ? 'syncFailed' : 'syncPartial', { reason: connection.syncError })}
        >
          <p>
            <Link to={`connections/${id}/sync`}>{t('openSync')}</Link>
          </p>
        </Notice>
      )}
    </>
  )
}

function NextStep({ connection, provider }: { connection: Connection; provider: ProviderInfo }) {
  const { t } = useUi()
  const { counts, id } = connection
  if (connection.status === 'disconnected')
    return (
      <Notice tone='warn' title={t('status_disconnected')}>
        <p>
          {t('reconnectHelp')} <Link to={`connections/${id}/settings`}>{t('settings')}</Link>
        </p>
      </Notice>
    )
  if (connection.lastSyncAt === null)
    return (
      <Notice title={t('nextSteps')}>
        <p>
          {t('stepSync')} <Link to={`connections/${id}/sync`}>{t('openSync')}</Link>
        </p>
      </Notice>
    )
  if (provider.capabilities.scopeSync && counts.unmappedDevices > 0) {
    return (
      <Notice title={t('stepUnmapped', { count: counts.unmappedDevices })}>
        <p>
          <Link to={`connections/${id}/mapping`}>{t('openMapping')}</Link>
        </p>
      </Notice>
    )
  }
  return null
}
