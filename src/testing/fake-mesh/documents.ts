import { randomBytes } from 'node:crypto'

/** A document as the server stores it; unknown fields are kept and shown as they are. */
export type MeshDoc = Record<string, unknown>

export interface FakeMeshGroup extends MeshDoc {
  _id: string
  name: string
  mtype: number
  desc?: string
  /** Soft delete: the group comes back when one of its agents does. */
  deleted?: boolean
}

export interface FakeMeshNode extends MeshDoc {
  _id: string
  meshid: string
  name: string
  mtype: number
}

export interface FakeMeshAccount {
  /** `user/<domain>/<name>` */
  _id: string
  name: string
  password: string
  siteadmin: number
  /** Asked for after the password where set. */
  twoFactor?: string
  /** Group id → rights. */
  links: Map<string, number>
}

export const rights = {
  edit: 1,
  remote: 8,
  limitedInput: 4096,
  guestSharing: 524_288,
  details: 1_048_576,
  all: 4_294_967_295
} as const

/** 64 characters, as the server makes them from 48 random bytes. */
export function newId(type: 'mesh' | 'node', domain: string): string {
  return `${type}/${domain}/${randomBytes(48).toString('base64').replaceAll('+', '@').replaceAll('/', '$')}`
}
