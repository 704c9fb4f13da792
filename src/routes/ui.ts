import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import type { FastifyInstance, FastifyReply, FastifyRequest, onRequestHookHandler } from 'fastify'
import type { UiFiles } from '../ui/build.ts'

export interface UiOptions {
  /** Who may open the page: throws, redirects or answers to refuse. */
  onRequest: onRequestHookHandler | onRequestHookHandler[]
  /** Path of the API as the browser sees it. Default: the folder above the page. */
  basePath?: string
  /** The page takes a bearer token from `#token=…`, and asks for one where it has none. Default false: cookies. */
  bearer?: boolean
}

interface Asset {
  body: Buffer
  type: string
  etag: string
}

const policy = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "connect-src 'self'",
  "img-src 'self' data:",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'self'"
].join('; ')

/** The built files of the package; in a checkout, where there are none, they are built on the spot. */
async function loadFiles(): Promise<UiFiles> {
  const read = (name: keyof UiFiles) => readFile(new URL(`../ui/${name}`, import.meta.url))
  try {
    return { 'rmm-settings.js': await read('rmm-settings.js'), 'page.css': await read('page.css') }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    const { buildUi } = await import('../ui/build.ts')
    return await buildUi()
  }
}

const escaped = (text: string) => text.replace(/[&<>"]/g, char => `&#${char.charCodeAt(0)};`)

/** Every address is relative: the page works below any prefix and behind a proxy that serves it on another path. */
function page({ basePath = '..', bearer = false }: UiOptions): string {
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<title>RMM settings</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="page.css">
<script type="module" src="rmm-settings.js"></script>
<rmm-settings base="${escaped(basePath)}" routing="hash"${bearer ? ' bearer' : ''}></rmm-settings>
<noscript>The settings page needs JavaScript.</noscript>
</html>
`
}

function asset(body: string | Uint8Array, type: string): Asset {
  const bytes = Buffer.from(body)
  return { body: bytes, type, etag: `"${createHash('sha256').update(bytes).digest('base64url').slice(0, 27)}"` }
}

/** Known to @fastify/swagger only, whose types are not there when the package is built. */
const hidden: object = { hide: true }

/**
 * The settings page: static files without data, behind the host's guard. Register it with a `prefix`, in a scope of its
 * own and outside that of the API. Rejects where the files are neither built nor can be.
 */
export async function uiRoutes(app: FastifyInstance, options: UiOptions): Promise<void> {
  const files = await loadFiles()
  for (const hook of [options.onRequest].flat()) app.addHook('onRequest', hook)
  const index = asset(page(options), 'text/html; charset=utf-8')
  app.get('/', { schema: hidden }, (request, reply) => {
    const path = request.url.split('?')[0]!
    // Relative addresses need the slash; a relative redirect leaves what a proxy put in front of the path alone.
    if (!path.endsWith('/'))
      return reply
        .code(302)
        .header('location', `${path.split('/').at(-1)}/`)
        .send()
    return answer(request, reply, index)
  })
  for (const [name, type] of [
    ['rmm-settings.js', 'text/javascript; charset=utf-8'],
    ['page.css', 'text/css; charset=utf-8']
  ] as const) {
    const file = asset(files[name], type)
    app.get(`/${name}`, { schema: hidden }, (request, reply) => answer(request, reply, file))
  }
}

/**
 * `no-cache` has the browser ask every time, so that a new version and a lost right show at once; 304 keeps that
 * cheap.
 */
function answer(request: FastifyRequest, reply: FastifyReply, { body, type, etag }: Asset): FastifyReply {
  reply.headers({
    etag,
    'cache-control': 'private, no-cache',
    'content-security-policy': policy,
    'x-content-type-options': 'nosniff',
    'referrer-policy': 'no-referrer'
  })
  const known = request.headers['if-none-match']?.split(',').map(tag => tag.trim().replace(/^W\//, '')) ?? []
  if (known.includes(etag) || known.includes('*')) return reply.code(304).send()
  return reply.type(type).send(body)
}
