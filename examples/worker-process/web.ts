import Fastify from 'fastify'
import { rmmSync } from '../../src/index.ts'
import { closeOnSignal, setUp } from './setup.ts'

// The web process: routes and webhooks. It starts runs and executes none, and leaves schedules, deliveries and events
// to the workers.
const { orm, options } = await setUp({ executes: false })
const app = Fastify({ logger: { level: process.env['LOG_LEVEL'] ?? 'info' } })
await app.register(rmmSync, {
  ...options,
  migrations: 'run',
  worker: { enabled: false },
  // One tenant, and nobody is asked: an example of processes, not of a host (see examples/host). It listens on
  // loopback only.
  tenant: () => 'example',
  authorize: () => {}
})
closeOnSignal(async () => {
  await app.close()
  await orm.close()
})
await app.listen({ host: '127.0.0.1', port: Number(process.env['PORT'] ?? 3000) })
