import Fastify from 'fastify'
import { rmmSync } from '../../src/index.ts'
import { closeOnSignal, setUp } from './setup.ts'

// A worker process: no routes, no port. It executes runs, starts those that are due, processes deliveries and hands
// out events. Start as many as needed; on SIGTERM it hands its runs over to the others.
const { orm, options } = await setUp({ executes: true })
const app = Fastify({ logger: { level: process.env['LOG_LEVEL'] ?? 'info' } })
await app.register(rmmSync, {
  ...options,
  prefix: false,
  worker: { concurrency: 4 },
  shutdown: { graceMs: 20_000 },
  // Never asked without routes, required all the same: there is no insecure default.
  tenant: () => null,
  authorize: () => {
    throw new Error('a worker process answers no requests')
  }
})
await app.ready()
app.log.info({ transport: process.env['TRANSPORT'] ?? 'postgres' }, 'working')
closeOnSignal(async () => {
  await app.close()
  await orm.close()
})
