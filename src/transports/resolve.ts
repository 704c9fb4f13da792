import { OptionError } from '../errors.ts'

/**
 * Which transport executes a provider's runs: `<PROVIDER>_SYNC_TRANSPORT` → `RMM_SYNC_TRANSPORT` → the option (for
 * this provider, or for all) → `temporal` if registered → `postgres` if registered → `direct`.
 *
 * @throws `RMM_ERR_OPTION` for a name that is not registered: never a silent fallback
 */
export function resolveTransport(
  provider: string,
  registered: readonly string[],
  option: string | Record<string, string> | undefined,
  env: Record<string, string | undefined>
): string {
  const variable = `${provider.toUpperCase()}_SYNC_TRANSPORT`
  const asked: Array<[string, string | undefined]> = [
    [variable, env[variable]],
    ['RMM_SYNC_TRANSPORT', env['RMM_SYNC_TRANSPORT']],
    ["option 'transport'", typeof option === 'string' ? option : option?.[provider]]
  ]
  for (const [where, name] of asked) {
    if (name === undefined || name === '') continue
    if (registered.includes(name)) return name
    throw new OptionError(
      `${where} asks for the transport '${name}', which is not registered (${registered.join(', ')}): pass it in option 'transports', e.g. transports: [${name}Transport(…)]`
    )
  }
  return ['temporal', 'postgres'].find(name => registered.includes(name)) ?? 'direct'
}
