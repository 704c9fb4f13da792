import type { IncomingMessage, ServerResponse } from 'node:http'
import { away, type FuzzHost, home } from './host.ts'

/** An answer that must never be given. */
export interface Finding {
  what: string
  request: string
  answer: string
}

const cut = (text: string) => (text.length > 600 ? `${text.slice(0, 600)}…` : text)

/** What of a request's body has been read, without reading any. */
function listenIn(request: IncomingMessage): () => string {
  const chunks: Buffer[] = []
  const emit = request.emit.bind(request)
  request.emit = ((name: string, ...values: unknown[]) => {
    if (name === 'data') chunks.push(Buffer.from(values[0] as string))
    return emit(name, ...values)
  }) as never
  return () => Buffer.concat(chunks).toString('utf8')
}

/** All that a response writes, once it is over. */
function bodyOf(response: ServerResponse, done: (body: string) => void): void {
  const chunks: Buffer[] = []
  for (const name of ['write', 'end'] as const) {
    const original = response[name].bind(response) as (...args: unknown[]) => never
    response[name] = ((chunk: unknown, ...rest: unknown[]) => {
      if (typeof chunk === 'string' || chunk instanceof Uint8Array) chunks.push(Buffer.from(chunk as string))
      return original(chunk, ...rest)
    }) as never
  }
  response.once('close', () => done(Buffer.concat(chunks).toString('utf8')))
}

function decoded(url: string): string {
  try {
    return decodeURIComponent(url)
  } catch {
    return url
  }
}

/**
 * Looks at every answer as it leaves: none is a 5xx, and none holds what is another tenant's, be it a name or an id that
 * was not in the question.
 */
export function watchAnswers({ app, tokens, ids }: FuzzHost): { findings: Finding[]; answered: Map<number, number> } {
  const findings: Finding[] = []
  const answered = new Map<number, number>()
  // Platforms' own ids may be the same in two accounts.
  const ownedBy = (tenant: string) => [
    `${tenant}-only`,
    ...Object.entries(ids[tenant]!).flatMap(([name, values]) => (name === 'externalId' ? [] : values))
  ]
  const foreign = {
    [home]: ownedBy(away).filter(text => !ownedBy(home).includes(text)),
    [away]: ownedBy(home).filter(text => !ownedBy(away).includes(text))
  }
  app.server.prependListener('request', (request, response) => {
    const tenant = request.headers.authorization === `Bearer ${tokens.viewer}` ? away : home
    const question = `${request.method} ${request.url}`
    const sent = listenIn(request)
    bodyOf(response, body => {
      const { statusCode } = response
      answered.set(statusCode, (answered.get(statusCode) ?? 0) + 1)
      const note = (what: string): void => {
        findings.push({ what, request: cut(question), answer: cut(`${statusCode} ${body}`) })
      }
      if (statusCode >= 500) note('an answer of 5xx')
      const asked = question + decoded(question) + sent()
      const leaked = foreign[tenant]!.find(text => body.includes(text) && !asked.includes(text))
      if (leaked !== undefined) note(`what is another tenant's: ${leaked}`)
    })
  })
  return { findings, answered }
}
