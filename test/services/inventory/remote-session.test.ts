import t from 'tap'
import type { RemoteSessionOptions } from '../../../src/index.ts'
import { createScript, device, list, scriptedHost } from '../scripted.ts'

t.setTimeout(60_000)

/** A platform that opens every session, and what it was asked for. */
async function screens(t: Parameters<typeof scriptedHost>[0], declared: RemoteSessionOptions | undefined) {
  const asked: object[] = []
  const script = createScript()
  script.provider = {
    ...script.provider,
    ...(declared === undefined ? {} : { remoteSessionOptions: declared }),
    remoteSession: async (_client, _id, { viewOnly, consent }) => {
      asked.push({ viewOnly, ...(consent === undefined ? {} : { consent }) })
      return { url: 'https://screen.example.com/x', expiresAt: new Date(Date.now() + 60_000) }
    }
  }
  script.devices = list([device('d1')])
  const host = await scriptedHost(t, { script })
  await host.sync()
  const { id } = (await host.app.rmm.inventory.list('t1')).items[0]!
  const open = async (body: object) => (await host.call('t1', 'POST', `/devices/${id}/remote-session`, body)) as any
  return { asked, open }
}

t.test('what a provider does not declare is refused with what it has, and the platform is not asked', async t => {
  const nothing = await screens(t, undefined)
  for (const [body, message] of [
    [{ viewOnly: true }, /no remote sessions that only watch/],
    [{ consent: 'none' }, /cannot promise the consent "none": its own settings decide/],
    [{ consent: 'prompt' }, /cannot promise the consent "prompt"/]
  ] as const)
    t.match(await nothing.open(body), { status: 409, body: { code: 'RMM_ERR_NOT_SUPPORTED', message } })
  t.strictSame(nothing.asked, [])
  t.equal((await nothing.open({})).status, 201, 'an ordinary session is opened')

  const some = await screens(t, { viewOnly: true, consent: ['notify'] })
  t.match(await some.open({ consent: 'prompt' }), { status: 409, body: { message: /it has notify/ } })
  t.equal((await some.open({ consent: 'notify', viewOnly: true })).status, 201)
  t.equal((await some.open({ viewOnly: false })).status, 201)
  t.strictSame(some.asked, [{ viewOnly: true, consent: 'notify' }, { viewOnly: false }])
  t.equal((await some.open({ consent: 'perhaps' })).status, 400)
})
