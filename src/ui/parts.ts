import type { Connection, ProviderInfo } from '../types.ts'

/** What every part of a connection's page is given. */
export interface PartProps {
  connection: Connection
  provider: ProviderInfo
  reload: () => void
  set: (connection: Connection) => void
}

/** A connection's path below the API. */
export const pathOf = (id: string) => `connections/${encodeURIComponent(id)}`
