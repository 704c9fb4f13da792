import { ConflictError, NotFoundError } from '../../errors.ts'
import { type Database, forgetPending, forgetSink, outboxLag, sinkServed } from '../store/index.ts'

const portion = 5_000

/**
 * Forgets what waits for a sink, and the sink; how many events these were. Throws `RMM_ERR_CONFLICT` while a process
 * serves it: new events would wait for it at once, and those it has not taken would be lost.
 */
export async function dropSink(database: Database, name: string): Promise<number> {
  const served = await sinkServed(database, name)
  if (served === true)
    throw new ConflictError(
      `A process serves the sink '${name}', or did within the last minutes: stop the processes that have it, or take it out of their option 'events', and try again`
    )
  if (served === null && !(await outboxLag(database)).some(({ sink }) => sink === name)) throw new NotFoundError('Sink')
  let events = 0
  for (let done = portion; done === portion; events += done) done = await forgetPending(database, name, portion)
  await forgetSink(database, name)
  return events
}
