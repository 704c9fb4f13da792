import { createServer } from 'node:net'

/** A free port of `host`: `wanted`, or any where `wanted` is 0; null where it is taken. */
export async function freePort(host: string, wanted: number): Promise<number | null> {
  const server = createServer()
  return await new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) =>
      error.code === 'EADDRINUSE' ? resolve(null) : reject(error)
    )
    server.listen(wanted, host, () => {
      const address = server.address()
      server.close(() => resolve(typeof address === 'object' ? (address?.port ?? null) : null))
    })
  })
}
