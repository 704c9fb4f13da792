import { useEffect, useState } from 'preact/hooks'
import type { Connection, Device } from '../../types.ts'
import { Ago, Badge, Card, Link } from '../components/basics.tsx'
import { Search, Select } from '../components/field.tsx'
import { Cell, PagedFrame, Table, usePaged, useSettled } from '../components/list.tsx'
import { useClientName, useLoad, useUi } from '../context.ts'

export function Presence({ device }: { device: Device }) {
  const { t } = useUi()
  if (device.removedAt !== null) return <Badge tone='warn'>{t('removed')}</Badge>
  if (device.outOfSightSince !== null) return <Badge tone='warn'>{t('outOfSight')}</Badge>
  return <Badge tone={device.online ? 'ok' : 'plain'}>{t(device.online ? 'online' : 'offline')}</Badge>
}

/** The tenant's connections, to choose one from. Shown only where there are several. */
export function ConnectionSelect({ value, onChange }: { value: string; onChange: (value: string) => void }) {
  const { api, t } = useUi()
  const connections = useLoad('connections', signal => api.all<Connection>('connections', { signal }))
  if (connections.data === undefined || (connections.data.length < 2 && value === '')) return null
  return (
    <Select
      label={t('connection')}
      value={value}
      onChange={onChange}
      options={[['', t('all')], ...connections.data.map(({ id, name }): [string, string] => [id, name])]}
    />
  )
}

/** What the platform no longer has is shown only where it is asked for. */
const presences = {
  '': { removed: false },
  online: { online: true },
  offline: { online: false, removed: false },
  removed: { removed: true }
}

export function DevicesPage() {
  const { t, router } = useUi()
  const clientName = useClientName()
  const [typed, setTyped] = useState(router.query.get('q') ?? '')
  const q = useSettled(typed.trim())
  const [presence, setPresence] = useState<'' | 'online' | 'offline' | 'removed'>('')
  const [mapped, setMapped] = useState<'' | 'true' | 'false'>((router.query.get('mapped') ?? '') as '')
  const [connectionId, setConnection] = useState(router.query.get('connectionId') ?? '')
  useEffect(() => {
    setConnection(router.query.get('connectionId') ?? '')
    setMapped((router.query.get('mapped') ?? '') as '')
  }, [router.query])
  const filtering = q !== '' || presence !== '' || mapped !== '' || connectionId !== ''
  const list = usePaged<Device>('devices', { q, ...presences[presence], mapped, connectionId, limit: 50 })
  return (
    <>
      <h1>{t('devices')}</h1>
      <Card>
        <div class='filters'>
          <Search label={t('search')} hint={t('devicesSearch')} value={typed} onInput={setTyped} />
          <Select
            label={t('presence')}
            value={presence}
            onChange={setPresence}
            options={[
              ['', t('all')],
              ['online', t('online')],
              ['offline', t('offline')],
              ['removed', t('removed')]
            ]}
          />
          <Select
            label={t('assignment')}
            value={mapped}
            onChange={setMapped}
            options={[
              ['', t('all')],
              ['true', t('withClient')],
              ['false', t('withoutClient')]
            ]}
          />
          <ConnectionSelect value={connectionId} onChange={setConnection} />
        </div>
        <PagedFrame list={list} empty={t(filtering ? 'devicesNoMatch' : 'devicesNone')}>
          <Table
            label={t('devices')}
            columns={[t('name'), t('client'), t('presence'), t('system'), t('user'), t('lastSeen')]}
          >
            {list.items.map(device => (
              <tr key={device.id}>
                <Cell of={t('name')} wide>
                  <Link to={`devices/${device.id}`}>{device.displayName}</Link>
                  {device.serialNumber && <span class='muted small block'>{device.serialNumber}</span>}
                </Cell>
                <Cell of={t('client')}>{clientName(device.clientRef) ?? <span class='muted'>{t('none')}</span>}</Cell>
                <Cell of={t('presence')}>
                  <Presence device={device} />
                </Cell>
                <Cell of={t('system')}>{device.osVersion ?? device.osType ?? ''}</Cell>
                <Cell of={t('user')}>{device.currentUser ?? ''}</Cell>
                <Cell of={t('lastSeen')}>
                  <Ago at={device.lastSeenAt} />
                </Cell>
              </tr>
            ))}
          </Table>
        </PagedFrame>
      </Card>
    </>
  )
}
