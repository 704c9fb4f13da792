import { randomUUID } from 'node:crypto'
import type { NinjaActivity, NinjaAlert, NinjaDevice, NinjaLocation, NinjaOrganization, NinjaPatch } from './types.ts'

export interface NinjaSeed {
  /** Default 30. */
  devices?: number
  /** Default 3, with two locations each. */
  organizations?: number
}

const gib = 2 ** 30

/** Everything the fake platform knows. Its methods change it and leave the activity that the platform would. */
export class NinjaWorld {
  readonly organizations: NinjaOrganization[] = []
  readonly devices = new Map<number, NinjaDevice>()
  readonly patches: NinjaPatch[] = []
  readonly alerts = new Map<string, NinjaAlert>()
  /** Oldest first. */
  readonly activities: NinjaActivity[] = []
  /** Set by the server: hands an activity to the webhook. */
  publish: (activity: NinjaActivity) => void = () => {}
  private readonly now: () => Date
  private lastActivity = 1000
  private lastId = 0

  constructor(now: () => Date, { devices = 30, organizations = 3 }: NinjaSeed = {}) {
    this.now = now
    for (let n = 0; n < organizations; n++) this.addOrganization(`Organization ${n + 1}`, ['Main office', 'Branch'])
    for (let n = 0; n < devices; n++) {
      const { id, locations } = this.organizations[n % organizations]!
      this.addDevice({ organizationId: id, locationId: locations[n % locations.length]!.id })
    }
    for (const device of [...this.devices.values()].filter((_, n) => n % 3 === 0)) this.addPatch(device.id)
  }

  seconds(): number {
    return this.now().getTime() / 1000
  }

  addOrganization(name: string, locations: string[] = ['Main office']): NinjaOrganization {
    const organization: NinjaOrganization = { id: this.organizations.length + 1, name, locations: [] }
    this.organizations.push(organization)
    for (const location of locations) this.addLocation(organization.id, location)
    return organization
  }

  /** Locations are numbered on their own: their ids are those of organizations, too. */
  addLocation(organizationId: number, name: string): NinjaLocation {
    const location = { id: this.organizations.flatMap(({ locations }) => locations).length + 1, name }
    this.organization(organizationId).locations.push(location)
    this.note({ activityType: 'SYSTEM', statusCode: 'LOCATION_CREATED', subject: name })
    return location
  }

  addDevice(given: Partial<NinjaDevice> & Pick<NinjaDevice, 'organizationId' | 'locationId'>): NinjaDevice {
    const id = given.id ?? ++this.lastId
    this.lastId = Math.max(this.lastId, id)
    const device = { ...this.computer(id), ...given, id }
    this.devices.set(id, device)
    this.note({ activityType: 'SYSTEM', statusCode: 'NODE_CREATED', deviceId: id })
    return device
  }

  /** Every twelfth is a printer, without agent and hardware. */
  private computer(id: number): Omit<NinjaDevice, 'organizationId' | 'locationId'> {
    const now = this.seconds()
    const own = {
      id,
      uid: randomUUID(),
      approvalStatus: 'APPROVED' as const,
      offline: id % 5 === 0,
      displayName: `Device ${id}`,
      systemName: `HOST-${id}`,
      created: now - 86_400.25,
      lastContact: now - 60.5,
      lastUpdate: now - 3600.125,
      ipAddresses: [`10.1.${(id >> 8) & 255}.${id & 255}`],
      macAddresses: [`3C:52:82:00:${hex(id >> 8)}:${hex(id)}`],
      publicIP: '203.0.113.7',
      tags: [],
      fields: { site: 'A' }
    }
    if (id % 12 === 0) return { ...own, nodeClass: 'NMS_PRINTER' }
    return {
      ...own,
      nodeClass: id % 7 === 0 ? 'WINDOWS_SERVER' : 'WINDOWS_WORKSTATION',
      os: { name: 'Windows 11 Professional', lastBootTime: now - 7200.75, needsReboot: false, architecture: '64-bit' },
      system: {
        manufacturer: 'Dell Inc.',
        model: 'Latitude 5440',
        serialNumber: `NJ${10_000 + id}`,
        virtualMachine: false
      },
      memory: { capacity: 16 * gib },
      processors: [{ name: 'Intel Core i7', numCores: 8, numLogicalCores: 16 }],
      volumes: [{ name: 'C:', driveLetter: 'C:', capacity: 512 * gib, freeSpace: 100 * gib }],
      lastLoggedInUser: `ACME\\user${id}`
    }
  }

  changeDevice(id: number, change: Partial<NinjaDevice>): void {
    Object.assign(this.device(id), change)
    this.note({ activityType: 'SYSTEM', statusCode: 'NODE_UPDATED', deviceId: id })
  }

  removeDevice(id: number): void {
    this.device(id)
    this.devices.delete(id)
    for (const [uid, alert] of this.alerts) if (alert.deviceId === id) this.alerts.delete(uid)
    this.note({ activityType: 'SYSTEM', statusCode: 'NODE_DELETED', deviceId: id })
  }

  addPatch(deviceId: number, change: Partial<NinjaPatch> = {}): NinjaPatch {
    const patch: NinjaPatch = {
      id: randomUUID(),
      deviceId,
      name: '2026-11 Cumulative Update',
      kbNumber: 'KB5068861',
      severity: 'IMPORTANT',
      status: 'PENDING',
      type: 'SECURITY_UPDATES',
      ...change
    }
    this.patches.push(patch)
    return patch
  }

  trigger(deviceId: number, given: { subject?: string; severity?: NinjaActivity['severity'] } = {}): NinjaAlert {
    const { subject = 'Disk is nearly full', severity = 'MAJOR' } = given
    const at = this.seconds()
    const message = `${subject} on ${this.device(deviceId).displayName}`
    const alert: NinjaAlert = {
      uid: randomUUID(),
      deviceId,
      message,
      subject,
      createTime: at,
      updateTime: at,
      sourceType: 'CONDITION'
    }
    this.alerts.set(alert.uid, alert)
    this.condition('TRIGGERED', alert, severity)
    return alert
  }

  /** False where there is no such alert (any more). */
  reset(uid: string): boolean {
    const alert = this.alerts.get(uid)
    if (alert === undefined) return false
    this.alerts.delete(uid)
    this.condition('RESET', alert, 'NONE')
    return true
  }

  private condition(statusCode: string, alert: NinjaAlert, severity: NinjaActivity['severity']): void {
    const { deviceId, uid: seriesUid, subject, message } = alert
    this.note({
      activityType: 'CONDITION',
      statusCode,
      deviceId,
      seriesUid,
      subject,
      message,
      ...(severity === undefined ? {} : { severity })
    })
  }

  private note(activity: Omit<NinjaActivity, 'id' | 'activityTime'>): void {
    const noted = { id: ++this.lastActivity, activityTime: this.seconds(), ...activity }
    this.activities.push(noted)
    this.publish(noted)
  }

  private organization(id: number): NinjaOrganization {
    const found = this.organizations.find(organization => organization.id === id)
    if (found === undefined) throw new Error(`no organization ${id}`)
    return found
  }

  private device(id: number): NinjaDevice {
    const found = this.devices.get(id)
    if (found === undefined) throw new Error(`no device ${id}`)
    return found
  }
}

const hex = (byte: number) => (byte & 255).toString(16).padStart(2, '0')
