import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { RmmSyncOptions } from '../options.ts'

/** What a host's module tells of the options it gives the plugin: all of them, or those that matter here. */
export type Given = Partial<RmmSyncOptions>

/** The options in a module's default export, or what that function gives. Throws with what is wrong with it. */
export async function givenOptions(file: string | undefined): Promise<Given> {
  if (file === undefined) return {}
  const module: { default?: unknown } = await import(pathToFileURL(resolve(file)).href)
  const given = typeof module.default === 'function' ? await module.default() : module.default
  if (typeof given !== 'object' || given === null)
    throw new Error(
      `the default export of ${file} is ${given === undefined ? 'missing' : 'no object'}: export the options that the host gives the plugin, e.g. export default { secrets, providers, orm }`
    )
  return given as Given
}
