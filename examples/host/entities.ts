import { defineEntity, type InferEntity, MikroORM, p } from '@mikro-orm/core'
import { withRmmSync } from '../../src/index.ts'

/** The tables of this PSA, in a schema of their own. Those of fastify-rmm-sync lie beside them in `rmm`. */
const schema = 'psa'

export const Tenant = defineEntity({
  name: 'Tenant',
  tableName: 'tenant',
  schema,
  properties: { id: p.string().primary(), name: p.text() }
})

export const roles = ['viewer', 'technician', 'admin'] as const
export type Role = (typeof roles)[number]

export const User = defineEntity({
  name: 'User',
  tableName: 'user_account',
  schema,
  indexes: [{ properties: ['tokenHash'] }],
  properties: {
    id: p.string().primary(),
    tenantId: p.string(),
    email: p.text(),
    role: p.enum(roles),
    tokenHash: p.string()
  }
})
export type User = InferEntity<typeof User>

export const Client = defineEntity({
  name: 'Client',
  tableName: 'client',
  schema,
  properties: { id: p.string().primary(), tenantId: p.string(), name: p.text() }
})

/** What a technician sees and bills: made and kept by `onChanges`, one per device that belongs to a client. */
export const Asset = defineEntity({
  name: 'Asset',
  tableName: 'asset',
  schema,
  indexes: [{ properties: ['tenantId', 'clientId'] }],
  properties: {
    id: p.string().primary(),
    tenantId: p.string(),
    clientId: p.string(),
    deviceId: p.string().unique(),
    name: p.text(),
    kind: p.string(),
    serialNumber: p.text().nullable(),
    os: p.text().nullable(),
    retired: p.boolean(),
    lastChange: p.text(),
    changedAt: p.datetime(3)
  }
})
export type Asset = InferEntity<typeof Asset>

/** PostgreSQL at `url`, or PGlite in the folder `dataFolder`, with the tables of this PSA brought up to date. */
export async function openDatabase({
  url,
  dataFolder
}: {
  url?: string | undefined
  dataFolder: string
}): Promise<MikroORM> {
  const entities = [Tenant, User, Client, Asset]
  const orm = await MikroORM.init(
    withRmmSync(
      url === undefined
        ? { entities, driver: (await import('@mikro-orm/pglite')).PgliteDriver, dbName: dataFolder }
        : { entities, driver: (await import('@mikro-orm/postgresql')).PostgreSqlDriver, clientUrl: url }
    ) as never
  )
  // Without withRmmSync this would drop the tables in `rmm`; `safe` spares whatever else is in a shared database.
  await (orm.schema as unknown as { update(options: { safe: boolean; schema: string }): Promise<void> }).update({
    safe: true,
    schema
  })
  return orm
}
