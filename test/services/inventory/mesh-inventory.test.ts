import { sql } from 'kysely'
import t from 'tap'
import { windowsHardware } from '../../../src/testing/fake-mesh/index.ts'
import { syncNow } from '../../helper.ts'
import { connectMesh, database, fakeMesh, meshHost } from '../mesh-host.ts'

t.test(
  'a MeshCentral account whose inventory is read only where it changed ends as one that is read for the first time',
  async t => {
    const fake = await fakeMesh(t, { groups: 3, devices: 60 })
    const host = await meshHost(t, { worker: { enabled: true } })
    const { db, t: tables } = await database(host)
    const dump = async (connectionId: string) =>
      (
        await sql<Record<string, unknown>>`
    select d.external_id, d.organization_external_id, d.asset_type, d.display_name, d.hostname, d.serial_number, d.manufacturer, d.model, d.os_type, d.os_version, d.last_reboot_at, d.current_user_name, d.lan_ip, d.wan_ip,
      d.mac_addresses, d.cpu_model, d.cpu_cores, d.ram_bytes, d.volumes, d.antivirus, d.tags, d.details, d.hash, s.online, s.free_bytes
    from ${tables.device} d join ${tables.device_status} s on s.device_id = d.id where d.connection_id = ${connectionId} and d.removed_at is null order by d.external_id`.execute(
          db
        )
      ).rows
    const connectionId = await connectMesh(host, fake)
    t.match(await syncNow(host, connectionId), { status: 'succeeded', totals: { unmapped: 60 } })
    const first = await dump(connectionId)

    fake.resetCounts()
    const written = async () =>
      (
        await sql<{
          versions: string
        }>`select string_agg(xmin::text, ' ' order by id) as versions from ${tables.device} where connection_id = ${connectionId}`.execute(
          db
        )
      ).rows[0]!.versions
    const before = await written()
    t.match(await syncNow(host, connectionId), { status: 'succeeded' })
    t.strictSame(fake.counts.actions['getsysinfo'] ?? 0, 0, 'nothing is read again')
    t.equal(await written(), before, 'nor written')
    t.strictSame(await dump(connectionId), first)

    const [renamed, reconnected, rewired, gone] = [...fake.world.connected.keys()] as [string, string, string, string]
    fake.world.changeNode(renamed, { name: 'Renamed', tags: [], desc: 'moved' })
    fake.world.sysinfo.set(reconnected, windowsHardware(9000))
    fake.world.connectNode(reconnected, Date.now() - 600_000)
    fake.world.sysinfo.set(rewired, windowsHardware(9001))
    fake.world.network.delete(rewired)
    fake.world.changeNode(rewired, { ip: '10.9.9.9', osdesc: '', agent: { id: 3 } })
    fake.world.nodes.delete(gone)
    t.match(await syncNow(host, connectionId), { status: 'succeeded', totals: { removed: 1 } })
    t.equal(fake.counts.actions['getsysinfo'], 2)
    const clean = await connectMesh(host, fake, { secrets: fake.loginToken, allowDuplicate: true })
    await syncNow(host, clean)
    const found = await dump(connectionId)
    const expected = await dump(clean)
    t.match(
      found.find(row => row['external_id'] === reconnected),
      { serial_number: 'SN-10000' }
    )
    // Addresses that nobody tells any more are "not told": only a first reading knows nothing of them.
    const told = (rows: Array<Record<string, unknown>>) =>
      rows.map(row => (row['external_id'] === rewired ? { ...row, mac_addresses: null, wan_ip: null } : row))
    t.strictSame(told(found), told(expected))
  }
)
