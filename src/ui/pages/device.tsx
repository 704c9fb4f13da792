import { useState } from 'preact/hooks'
import type { DeviceDetail, DeviceSyncResult, DeviceVolume } from '../../types.ts'
import { Ago, Badge, Card, Facts, Notice, Problem, Show, Time } from '../components/basics.tsx'
import { Check, Select } from '../components/field.tsx'
import { useClientName, useDoing, useLoad, useProviders, useUi } from '../context.ts'
import { AlertTable } from './alerts.tsx'
import { Presence } from './devices.tsx'

export function DevicePage({ id }: { id: string }) {
  const { api } = useUi()
  const device = useLoad(`device ${id}`, signal =>
    api.get<DeviceDetail>(`devices/${encodeURIComponent(id)}`, {}, signal)
  )
  return <Show of={device}>{data => <Device device={data} set={device.set} />}</Show>
}

function Device({ device, set }: { device: DeviceDetail; set: (device: DeviceDetail) => void }) {
  const { t } = useUi()
  const provider = useProviders().get(device.provider)
  return (
    <>
      <div class='title'>
        <div class='row'>
          <h1>{device.displayName}</h1>
          <Presence device={device} />
          {device.maintenanceMode && <Badge tone='warn'>{t('maintenance')}</Badge>}
        </div>
        <p class='muted'>{[provider?.name ?? device.provider, device.hostname].filter(Boolean).join(' · ')}</p>
      </div>
      <Actions
        device={device}
        canRemote={provider?.capabilities.remoteSessions === true && device.removedAt === null}
        set={set}
      />
      <div class='cards two'>
        <Identity device={device} />
        <Hardware device={device} />
      </div>
      {device.volumes.length > 0 && (
        <Card title={t('storage')}>
          {device.volumes.map(volume => (
            <Volume key={volume.name} volume={volume} />
          ))}
        </Card>
      )}
      {provider?.capabilities.alertSync !== false && (
        <Card title={t('alerts')}>
          <AlertTable query={{ deviceId: device.id, limit: 20 }} onDevice />
        </Card>
      )}
      {Object.keys(device.details).length > 0 && (
        <details class='card'>
          <summary>
            <h2>{t('platformDetails')}</h2>
          </summary>
          <dl class='rows'>
            {Object.entries(device.details).map(([name, value]) => (
              <div key={name}>
                <dt>{name}</dt>
                <dd>
                  {lines(value).map((line, index) => (
                    <span class='block' key={index}>
                      {line}
                    </span>
                  ))}
                </dd>
              </div>
            ))}
          </dl>
        </details>
      )}
    </>
  )
}

/** Whatever the platform tells, one line for each entry of a list. */
function lines(value: unknown): string[] {
  return Array.isArray(value) ? value.map(inline) : [inline(value)]
}

function inline(value: unknown): string {
  if (typeof value !== 'object' || value === null) return String(value ?? '')
  if (Array.isArray(value)) return value.map(inline).join(', ')
  return Object.entries(value)
    .map(([name, inner]) => `${name}: ${inline(inner)}`)
    .join(', ')
}

function Actions({
  device,
  canRemote,
  set
}: {
  device: DeviceDetail
  canRemote: boolean
  set: (device: DeviceDetail) => void
}) {
  const { api, t } = useUi()
  const doing = useDoing()
  const [outcome, setOutcome] = useState<DeviceSyncResult['outcome'] | null>(null)
  const sync = () =>
    void doing.run(async () => {
      const result: DeviceSyncResult = await api.send(
        'POST',
        `connections/${encodeURIComponent(device.connectionId)}/devices/${encodeURIComponent(device.externalId)}/sync`
      )
      setOutcome(result.outcome)
      if (result.device) set(result.device)
    })
  return (
    <div class='answer'>
      <div class='row'>
        {canRemote && <RemoteSession device={device} />}
        <button type='button' disabled={doing.busy} onClick={sync}>
          {t(doing.busy ? 'loading' : 'syncDevice')}
        </button>
      </div>
      <Problem error={doing.error} retry={doing.retry} />
      {outcome && !doing.busy && <Notice tone='ok' title={t(`synced_${outcome}`)} />}
    </div>
  )
}

/** One click opens the session in a new tab. The tab is opened at once, while the browser still sees the click. */
function RemoteSession({ device }: { device: DeviceDetail }) {
  const { api, t } = useUi()
  const doing = useDoing()
  const [viewOnly, setViewOnly] = useState(false)
  const [consent, setConsent] = useState<'' | 'none' | 'notify' | 'prompt'>('')
  const [link, setLink] = useState<string | null>(null)
  const open = () => {
    const tab = window.open('', '_blank')
    if (tab) tab.opener = null
    void doing
      .run(async () => {
        const { url }: { url: string } = await api.send(
          'POST',
          `devices/${encodeURIComponent(device.id)}/remote-session`,
          { viewOnly, ...(consent === '' ? {} : { consent }) }
        )
        if (!/^https?:/i.test(url)) throw new Error(t('refusedTitle'))
        setLink(tab ? null : url)
        if (tab) tab.location.replace(url)
      })
      .then(done => {
        if (!done) tab?.close()
      })
  }
  return (
    <>
      <button type='button' class='primary' disabled={doing.busy} onClick={open}>
        {t(doing.busy ? 'loading' : 'remoteOpen')}
      </button>
      <Check label={t('remoteView')} checked={viewOnly} onChange={setViewOnly} />
      <Select
        label={t('remoteConsent')}
        value={consent}
        onChange={setConsent}
        options={[
          ['', t('consent_default')],
          ['prompt', t('consent_prompt')],
          ['notify', t('consent_notify')],
          ['none', t('consent_none')]
        ]}
      />
      <Problem error={doing.error} retry={open} />
      {link && (
        <Notice tone='warn'>
          {t('remoteBlocked')}{' '}
          <a href={link} target='_blank' rel='noopener noreferrer'>
            {t('remoteLink')}
          </a>
        </Notice>
      )}
    </>
  )
}

function Identity({ device }: { device: DeviceDetail }) {
  const { t } = useUi()
  const clientName = useClientName()
  return (
    <Card title={t('identity')}>
      <Facts
        items={[
          [t('client'), clientName(device.clientRef) ?? t('none')],
          [t('asset'), device.assetRef],
          [t('kind'), t(`kind_${device.assetType}`)],
          [t('user'), device.currentUser],
          [t('location'), device.location],
          [t('lastSeen'), <Ago key='a' at={device.lastSeenAt} />],
          [t('lastReboot'), device.lastRebootAt && <Time at={device.lastRebootAt} />],
          [
            t('tags'),
            device.tags.length > 0 ? (
              <ul class='tags'>
                {device.tags.map(tag => (
                  <li key={tag}>
                    <Badge>{tag}</Badge>
                  </li>
                ))}
              </ul>
            ) : null
          ],
          [t('antivirus'), [device.antivirus.provider, device.antivirus.status].filter(Boolean).join(' · ')],
          [t('missingUpdates'), device.pendingOsPatches === null ? t('unknown') : String(device.pendingOsPatches)]
        ]}
      />
    </Card>
  )
}

function Hardware({ device }: { device: DeviceDetail }) {
  const { t, fmt } = useUi()
  return (
    <Card title={t('hardware')}>
      <Facts
        items={[
          [t('system'), [device.osType, device.osVersion].filter(Boolean).join(' · ')],
          [t('model'), [device.manufacturer, device.model].filter(Boolean).join(' ')],
          [t('serialNumber'), device.serialNumber],
          [
            t('cpu'),
            [device.cpuModel, device.cpuCores === null ? null : t('cores', { count: device.cpuCores })]
              .filter(Boolean)
              .join(' · ')
          ],
          [t('memory'), device.ramBytes === null ? null : fmt.bytes(device.ramBytes)],
          [t('uptime'), device.uptimeSeconds === null ? null : fmt.duration(device.uptimeSeconds)],
          [t('lanIp'), device.lanIp],
          [t('wanIp'), device.wanIp],
          [t('mac'), device.macAddresses.join(', ')]
        ]}
      />
    </Card>
  )
}

function Volume({ volume: { name, totalBytes, freeBytes, utilization } }: { volume: DeviceVolume }) {
  const { t, fmt } = useUi()
  const share = utilization ?? (totalBytes && freeBytes !== null ? 1 - freeBytes / totalBytes : null)
  return (
    <div class='volume'>
      <span>{name}</span>
      {share !== null && <meter aria-label={name} min={0} max={1} high={0.85} optimum={0} value={share} />}
      <span class='muted small'>
        {share !== null && t('used', { percent: fmt.percent(share) })}
        {totalBytes !== null &&
          freeBytes !== null &&
          ` · ${t('freeOf', { free: fmt.bytes(freeBytes), total: fmt.bytes(totalBytes) })}`}
      </span>
    </div>
  )
}
