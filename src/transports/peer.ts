import { OptionError } from '../errors.ts'

/**
 * Loads a package that only this transport needs; hosts on other transports do not install it.
 *
 * @throws `RMM_ERR_OPTION` that says what to install, when it is not there
 */
export async function loadPeer<T>(transport: string, install: string, load: () => Promise<T>): Promise<T> {
  try {
    return await load()
  } catch (error) {
    if ((error as { code?: unknown }).code !== 'ERR_MODULE_NOT_FOUND') throw error
    throw Object.assign(
      new OptionError(`the transport '${transport}' needs a package that is not installed: npm install ${install}`),
      { cause: error }
    )
  }
}
