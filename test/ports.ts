import { once } from 'node:events'
import { createServer } from 'node:net'

/**
 * A free port for a server that is stopped and started again. Below those that the system gives to `listen(0)` and to
 * outgoing connections: nobody is given it while the server is away.
 */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = 10_000 + Math.floor(Math.random() * 20_000)
    const server = createServer().listen(port, '127.0.0.1')
    const free = await Promise.race([
      once(server, 'listening').then(() => true),
      once(server, 'error').then(() => false)
    ]).catch(() => false)
    if (!free) continue
    server.close()
    await once(server, 'close')
    return port
  }
}
