import Fastify from 'fastify'
import { rmmSync } from '../../src/index.ts'
import { type Installation, openProcessOrm, workerOptions } from './setup.ts'

/** One worker process of the conformance suite. Says `ready`, works until SIGTERM, then says `closed`. */
const installation = JSON.parse(process.env['INSTALLATION'] ?? '') as Installation
const orm = await openProcessOrm(installation.databaseUrl, installation.schema)
const app = Fastify({ logger: { level: 'warn', stream: process.stderr } })
await app.register(rmmSync, workerOptions(installation, orm))
await app.ready()
process.once('SIGTERM', async () => {
  await app.close()
  await orm.close()
  process.stdout.write('closed\n')
  // What is left of an engine's own threads must not hold the process.
  process.exit(0)
})
process.stdout.write('ready\n')
