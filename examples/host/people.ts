import type { EntityManager } from '@mikro-orm/core'
import { issueToken } from './auth.ts'
import { Client, Tenant, User } from './entities.ts'

/** The tenant of the story. The other one shows that it sees nothing of it. */
export const home = 'northwind'

const tenants = [
  { id: home, name: 'Northwind IT' },
  { id: 'southgate', name: 'Southgate Systems' }
]

const users = [
  { id: 'u1', tenantId: home, email: 'anna@northwind.example', role: 'admin' as const },
  { id: 'u2', tenantId: home, email: 'theo@northwind.example', role: 'technician' as const },
  { id: 'u3', tenantId: home, email: 'vera@northwind.example', role: 'viewer' as const },
  { id: 'u4', tenantId: 'southgate', email: 'sam@southgate.example', role: 'admin' as const }
]

/** Named as book-keeping names them, which is never quite how the RMM does. */
const clients = [
  { id: 'c-harbour', name: 'Harbour Dental Ltd' },
  { id: 'c-northgate', name: 'Northgate Print and Copy GmbH' },
  { id: 'c-elm', name: 'ELM STREET LEGAL LLP' },
  { id: 'c-mueller', name: 'Müller Engineering AG' },
  { id: 'c-etienne', name: 'Boulangerie Saint Etienne' },
  { id: 'c-obrien', name: 'OBrien Veterinary Limited' },
  { id: 'c-riverside', name: 'The Riverside School' },
  { id: 'c-kestrel', name: 'Kestrel Logistics & Co.' },
  { id: 'c-oldmill', name: 'Old Mill Architects, Inc.' },
  { id: 'c-summit', name: 'Summit Health Holdings plc' },
  { id: 'c-juniper', name: 'Juniper Accounting' },
  { id: 'c-tax', name: 'Juniper Tax Advisers LLP' }
]

/** Tenants, users and clients at the first start. Returns each new user's token by user id; empty at later starts. */
export async function moveIn(em: EntityManager): Promise<Map<string, string>> {
  if ((await em.count(Tenant)) > 0) return new Map()
  for (const tenant of tenants) em.create(Tenant, tenant)
  for (const client of clients) em.create(Client, { ...client, tenantId: home })
  em.create(Client, { id: 'c-lakeside', name: 'Lakeside Hotel', tenantId: 'southgate' })
  const tokens = new Map<string, string>()
  for (const person of users) {
    const user = em.create(User, { ...person, tokenHash: '' })
    tokens.set(user.id, issueToken(user))
  }
  await em.flush()
  return tokens
}
