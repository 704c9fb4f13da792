import { randomBytes } from 'node:crypto'
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'

/** What the environment and the arguments say. */
export interface Settings {
  dataFolder: string
  host: string
  /** The port asked for, or undefined for 3000 or else any free one. */
  port: number | undefined
  databaseUrl: string | undefined
  levelApiKey: string | undefined
  mesh: { url: string; username: string; password: string } | undefined
  /** Ends after the story instead of staying up. */
  once: boolean
  /** Gives every user a new token. */
  newTokens: boolean
}

/** Throws where a value cannot be meant. */
export function readSettings(env: NodeJS.ProcessEnv, args: readonly string[]): Settings {
  const unknown = args.find(arg => arg !== '--once' && arg !== '--new-tokens')
  if (unknown !== undefined) throw new Error(`unknown argument ${unknown}; it knows --once and --new-tokens`)
  const port = env['PORT'] === undefined || env['PORT'] === '' ? undefined : Number(env['PORT'])
  if (port !== undefined && (!Number.isInteger(port) || port < 0 || port > 65_535))
    throw new Error(`PORT is ${env['PORT']}: it must be a number from 0 to 65535`)
  const { MESHCENTRAL_URL: url, MESHCENTRAL_USER: username, MESHCENTRAL_PASSWORD: password } = env
  if (url && !(username && password))
    throw new Error('MESHCENTRAL_URL needs MESHCENTRAL_USER and MESHCENTRAL_PASSWORD beside it')
  return {
    dataFolder: resolve(env['DATA_FOLDER'] || join(import.meta.dirname, 'data')),
    host: env['HOST'] || '127.0.0.1',
    port,
    databaseUrl: env['DATABASE_URL'] || undefined,
    levelApiKey: env['LEVEL_API_KEY'] || undefined,
    mesh: url && username && password ? { url, username, password } : undefined,
    once: args.includes('--once'),
    newTokens: args.includes('--new-tokens')
  }
}

/** What must survive a restart and is not in the database: keys, and what the fakes need to be the same again. */
export interface Kept {
  /** 32 bytes in base64: seals the secrets of connections. */
  boxKey: string
  /** API key of the fake Level. */
  levelKey: string
  levelPort: number
  /** Password of the fake MeshCentral. */
  meshPassword: string
  meshPort: number
  /** How often this PSA was started, this time included. */
  starts: number
}

/** Reads the kept values, made at the first start, and counts this start. */
export function openKept(dataFolder: string): Kept {
  const file = join(dataFolder, 'keys.json')
  const kept: Kept = existsSync(file)
    ? JSON.parse(readFileSync(file, 'utf8'))
    : {
        boxKey: randomBytes(32).toString('base64'),
        levelKey: randomBytes(24).toString('base64url'),
        levelPort: 0,
        meshPassword: randomBytes(24).toString('base64url'),
        meshPort: 0,
        starts: 0
      }
  kept.starts++
  keep(dataFolder, kept)
  return kept
}

/**
 * Only the owner can read the file. Written aside and renamed: a power cut leaves the old keys or the new ones, never
 * half a file.
 */
export function keep(dataFolder: string, kept: Kept): void {
  const file = join(dataFolder, 'keys.json')
  writeFileSync(`${file}.new`, `${JSON.stringify(kept, null, 2)}\n`, { mode: 0o600 })
  renameSync(`${file}.new`, file)
}

/**
 * PGlite does not notice a second process on its files, and both would ruin them. Returns the function that lets go.
 */
export function lockFolder(dataFolder: string): () => void {
  mkdirSync(dataFolder, { recursive: true, mode: 0o700 })
  const file = join(dataFolder, 'host.pid')
  const holder = existsSync(file) ? Number(readFileSync(file, 'utf8')) : 0
  if (holder > 0 && isAlive(holder))
    throw new Error(`${dataFolder} is in use by process ${holder}; stop that one, or set DATA_FOLDER to another folder`)
  rmSync(file, { force: true })
  const handle = openSync(file, 'wx', 0o600)
  writeFileSync(handle, String(process.pid))
  closeSync(handle)
  return () => rmSync(file, { force: true })
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}
