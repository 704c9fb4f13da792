import type { Capabilities, Connection, ProviderInfo } from '../../types.ts'
import { Ago, Badge, Empty, Facts, Link, Show, type Tone } from '../components/basics.tsx'
import { useLoad, useProviders, useUi } from '../context.ts'
import type { StringKey } from '../strings.ts'

export const statusTones: Record<Connection['status'], Tone> = { connected: 'ok', error: 'bad', disconnected: 'plain' }

/** What a provider can do, in the order of use; `connection` goes without saying. */
const capabilities: Array<[keyof Capabilities, StringKey]> = [
  ['scopeSync', 'capScopeSync'],
  ['deviceSync', 'capDeviceSync'],
  ['patchSync', 'capPatchSync'],
  ['alertSync', 'capAlertSync'],
  ['alertResolve', 'capAlertResolve'],
  ['deviceGroups', 'capDeviceGroups'],
  ['events', 'capEvents'],
  ['remoteSessions', 'capRemoteSessions'],
  ['remoteActions', 'capRemoteActions']
]

export function ConnectionsPage() {
  const { api, t } = useUi()
  const providers = [...useProviders().values()]
  const connections = useLoad('connections', signal => api.all<Connection>('connections', { signal }))
  return (
    <>
      <h1>{t('connections')}</h1>
      <Show of={connections}>
        {items =>
          items.length === 0 ? (
            <Empty>{t('noConnections')}</Empty>
          ) : (
            <div class='cards'>
              {items.map(connection => (
                <ConnectionCard key={connection.id} connection={connection} />
              ))}
            </div>
          )
        }
      </Show>
      <h2 class='apart'>{t('providers')}</h2>
      {providers.length === 0 ? (
        <Empty>{t('noProviders')}</Empty>
      ) : (
        <div class='cards'>
          {providers.map(provider => (
            <ProviderCard key={provider.id} provider={provider} />
          ))}
        </div>
      )}
    </>
  )
}

function ConnectionCard({ connection }: { connection: Connection }) {
  const { t, fmt } = useUi()
  const provider = useProviders().get(connection.provider)
  const { counts } = connection
  return (
    <section class='card'>
      <div class='head'>
        <h2>
          <Link to={`connections/${connection.id}`}>{connection.name}</Link>
        </h2>
        <Badge tone={statusTones[connection.status]}>{t(`status_${connection.status}`)}</Badge>
      </div>
      <p class='muted'>{[provider?.name ?? connection.provider, connection.account].filter(Boolean).join(' · ')}</p>
      {connection.statusReason && <p class='wrong'>{connection.statusReason}</p>}
      {connection.syncError && (
        <p class='wrong'>
          {t(connection.syncStatus === 'failed' ? 'syncFailed' : 'syncPartial', { reason: connection.syncError })}
        </p>
      )}
      {connection.live?.since === null && connection.live.lastError && (
        <p class='wrong'>{t('pushesLost', { reason: connection.live.lastError })}</p>
      )}
      <Facts
        items={[
          [t('lastSync'), <Ago key='a' at={connection.lastSyncAt} />],
          [t('devicesMapped'), t('ofCount', { count: counts.mappedDevices, total: counts.devices })],
          [t('activeAlerts'), provider?.capabilities.alertSync === false ? null : fmt.number(counts.activeAlerts)]
        ]}
      />
    </section>
  )
}

function ProviderCard({ provider }: { provider: ProviderInfo }) {
  const { t } = useUi()
  const can = capabilities.filter(([name]) => provider.capabilities[name])
  return (
    <section class='card'>
      <div class='head'>
        <h3>{provider.name}</h3>
      </div>
      <p>{provider.description}</p>
      <ul class='tags'>
        {can.map(([name, text]) => (
          <li key={name}>
            <Badge>{t(text)}</Badge>
          </li>
        ))}
      </ul>
      {provider.capabilities.connection && (
        <p class='foot'>
          <Link class='button' to={`connect/${provider.id}`}>
            {t('connectTo', { name: provider.name })}
          </Link>
        </p>
      )}
    </section>
  )
}

/** Name, state and account at the head of a connection's pages. */
export function ConnectionTitle({ connection }: { connection: Connection }) {
  const { t } = useUi()
  const provider = useProviders().get(connection.provider)
  return (
    <div class='title'>
      <div class='row'>
        <h1>{connection.name}</h1>
        <Badge tone={statusTones[connection.status]}>{t(`status_${connection.status}`)}</Badge>
      </div>
      <p class='muted'>{[provider?.name ?? connection.provider, connection.account].filter(Boolean).join(' · ')}</p>
      {connection.statusReason && <p class='wrong'>{connection.statusReason}</p>}
    </div>
  )
}
