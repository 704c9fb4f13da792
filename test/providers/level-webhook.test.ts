import { createHmac } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { mock } from 'node:test'
import fc from 'fast-check'
import t from 'tap'
import type { WebhookRequest } from '../../src/providers/define.ts'
import { equalsSecret, verifyHmacSha256, verifySharedSecret } from '../../src/providers/hmac.ts'
import { webhook } from '../../src/providers/level/webhook.ts'

const fixture = (name: string) =>
  JSON.parse(readFileSync(new URL(`../fixtures/level/${name}.json`, import.meta.url), 'utf8'))
const secret = 'example-webhook-secret-for-tests'
const vector = {
  body: '{"event_type":"alert_resolved","event_id":"9b2f0d3a-1111-4222-8333-444455556666","occurred_at":"2026-11-21T14:40:32.000Z","data":{"id":"Z2lkOi8vbGV2ZWwvQWxlcnQvNTU1MDEy"}}',
  signature: 'sha256=e286d7491201f7d37ce75de75556d90e53636934cd2e2dead4ade0c6efcffe55'
}
const request = (body: unknown, headers: Record<string, string> = {}): WebhookRequest => ({
  headers,
  rawBody: Buffer.from(typeof body === 'string' ? body : JSON.stringify(body))
})
const sign = (body: string, key: string) => `sha256=${createHmac('sha256', key).update(body).digest('hex')}`

t.test('signatures', async t => {
  const signed = (signature: string) => request(vector.body, { 'x-level-signature': signature })

  t.test('the known vector passes, in either case of its digits, and with any secret still in rotation', async t => {
    t.ok(webhook.verify(signed(vector.signature), [secret]))
    t.ok(webhook.verify(signed(vector.signature.toUpperCase().replace('SHA', 'sha')), [secret]))
    t.ok(webhook.verify(signed(vector.signature), ['new-secret', secret]))
    t.ok(webhook.verify(signed(vector.signature), [secret, 'old-secret']))
  })

  t.test('anything else does not', async t => {
    t.notOk(webhook.verify(signed(vector.signature), ['other']))
    t.notOk(webhook.verify(signed(vector.signature), []))
    t.notOk(
      webhook.verify(request(`${vector.body} `, { 'x-level-signature': vector.signature }), [secret]),
      'one byte more'
    )
    for (const bad of [
      '',
      'sha256=',
      vector.signature.slice(7),
      vector.signature.slice(0, -1),
      `${vector.signature}, ${vector.signature}`,
      'sha1=abc',
      `sha256=${'z'.repeat(64)}`
    ])
      t.notOk(webhook.verify(signed(bad), [secret]), bad)
    t.notOk(webhook.verify(request(vector.body), [secret]), 'no header')
    t.notOk(webhook.verify(signed(sign(vector.body, '')), ['']), 'an empty secret is none')
  })

  t.test('an automation proves itself by the secret in its header', async t => {
    const shared = (value: string) => request('{}', { 'x-rmm-webhook-secret': value })
    t.ok(webhook.verify(shared(secret), ['x', secret]))
    for (const bad of ['', secret.slice(1), `${secret}x`, secret.toUpperCase()])
      t.notOk(webhook.verify(shared(bad), [secret]))
    t.notOk(webhook.verify(shared(''), ['']))
    t.notOk(webhook.verify(shared(secret), []))
  })

  t.test('what was signed passes with that secret and with no other', async t => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 64 }),
        fc.string({ minLength: 1 }),
        fc.string({ minLength: 1 }),
        (bytes, one, other) => {
          const body = Buffer.from(bytes)
          const signature = createHmac('sha256', one).update(body).digest('hex')
          return (
            verifyHmacSha256(body, signature, [other, one]) &&
            verifyHmacSha256(body, signature, [other]) ===
              (createHmac('sha256', other).update(body).digest('hex') === signature) &&
            equalsSecret(one, other) === Buffer.from(one).equals(Buffer.from(other)) &&
            verifySharedSecret(one, [one]) &&
            !verifySharedSecret(undefined, [one, ''])
          )
        }
      )
    )
    t.notOk(verifyHmacSha256(Buffer.alloc(0), undefined, ['x']))
  })
})

t.test('Level’s own events', async t => {
  t.test('an alert gives its hints, its device’s, and what can be shown at once', async t => {
    const body = fixture('webhook.alert_active')
    const event = webhook.parse(request(body))
    t.match(event, { id: body.event_id, type: 'alert_active', occurredAt: new Date('2026-11-21T13:55:05.000Z') })
    t.same(event.hints, [
      { resource: 'alerts', externalId: body.data.id, kind: 'changed' },
      { resource: 'devices', externalId: body.data.device_id, kind: 'changed' }
    ])
    t.match(event.alert, {
      externalId: body.data.id,
      deviceExternalId: body.data.device_id,
      severity: 'moderate',
      providerSeverity: 'warning',
      status: 'active',
      startedAt: new Date('2026-11-21T13:55:04.000Z')
    })
  })

  t.test('an alert with nothing but an id gives a hint only', async t => {
    const event = webhook.parse(request(vector.body))
    t.match(event, {
      id: '9b2f0d3a-1111-4222-8333-444455556666',
      type: 'alert_resolved',
      hints: [{ resource: 'alerts' }]
    })
    t.equal(event.hints.length, 1)
    t.notOk('alert' in event)
  })

  t.test('a resolved event resolves, even over an older snapshot', async t => {
    const body = { ...fixture('webhook.alert_active'), event_type: 'alert_resolved' }
    t.match(webhook.parse(request(body)).alert, { status: 'resolved', resolvedAt: new Date(body.occurred_at) })
    t.match(
      webhook.parse(request({ ...body, event_type: 'alert_active', data: fixture('alert.resolved') })).alert,
      { status: 'resolved', resolvedAt: new Date('2026-11-21T14:40:31.000Z') },
      'a late delivery with the newer state'
    )
  })

  t.test('each type points at its resource; a deletion says so; unknown types point nowhere', async t => {
    const hint = (event_type: string) =>
      webhook.parse(request({ event_type, event_id: 'e', occurred_at: '2026-11-21T13:55:05Z', data: { id: 'x' } }))
        .hints
    t.same(hint('device_created'), [{ resource: 'devices', externalId: 'x', kind: 'changed' }])
    t.same(hint('device_updated'), [{ resource: 'devices', externalId: 'x', kind: 'changed' }])
    t.same(hint('device_deleted'), [{ resource: 'devices', externalId: 'x', kind: 'deleted' }])
    t.same(hint('group_created'), [{ resource: 'organizations', externalId: 'x', kind: 'changed' }])
    t.same(hint('group_updated'), [{ resource: 'organizations', externalId: 'x', kind: 'changed' }])
    t.same(hint('group_deleted'), [{ resource: 'organizations', externalId: 'x', kind: 'deleted' }])
    t.same(hint('automation_started'), [])
    t.same(hint('toString'), [])
    t.match(webhook.parse(request(fixture('webhook.device_deleted'))), {
      id: 'a1b2c3d4-0000-4000-8000-000000000001',
      hints: [{ kind: 'deleted', externalId: fixture('webhook.device_deleted').data.id }]
    })
  })

  t.test('missing or odd members are survived; what cannot be told apart throws', async t => {
    t.match(webhook.parse(request({ event_type: 'device_updated', event_id: 'e', data: null })), {
      hints: [],
      occurredAt: null
    })
    t.match(
      webhook.parse(request({ event_type: 'alert_active', event_id: 'e', data: { id: {}, name: {}, device_id: 'd' } })),
      { hints: [{ resource: 'devices', externalId: 'd' }] }
    )
    t.match(
      webhook.parse(request({ event_type: 'alert_active', event_id: 7, data: { id: 5, device_id: 6 } })),
      {
        id: '7',
        hints: [
          { resource: 'alerts', externalId: '5' },
          { resource: 'devices', externalId: '6' }
        ]
      },
      "numbers, as in Level's own example"
    )
    const anonymous = { event_type: 'device_updated', occurred_at: '2026-11-21T13:55:05Z', data: { id: 'x' } }
    t.equal(webhook.parse(request(anonymous)).id, webhook.parse(request(anonymous)).id)
    for (const bad of ['', '{', 'null', '[]', '"x"', '{}', '{"event_type":5}', '{"event_type":"device_updated"}'])
      t.throws(() => webhook.parse(request(bad)), bad)
  })
})

t.test('an automation’s HTTP action', async t => {
  const body = {
    event: 'alert.triggered',
    alert_id: 'a1',
    device_id: 'd1',
    hostname: 'PC',
    name: 'Disk space low',
    severity: 'critical',
    description: 'C: is full'
  }
  mock.timers.enable({ apis: ['Date'], now: Date.parse('2026-11-21T14:00:00Z') })
  t.teardown(() => mock.timers.reset())

  t.test('gives hints and an alert', async t => {
    const event = webhook.parse(request(body))
    t.same(event.hints, [
      { resource: 'alerts', externalId: 'a1', kind: 'changed' },
      { resource: 'devices', externalId: 'd1', kind: 'changed' }
    ])
    t.match(event, {
      type: 'alert.triggered',
      occurredAt: null,
      alert: {
        externalId: 'a1',
        deviceExternalId: 'd1',
        name: 'Disk space low',
        description: 'C: is full',
        severity: 'major',
        providerSeverity: 'critical',
        status: 'active',
        startedAt: new Date('2026-11-21T14:00:00Z'),
        resolvedAt: null
      }
    })
    t.match(webhook.parse(request({ ...body, event: 'alert.resolved' })).alert, {
      externalId: 'a1',
      status: 'resolved',
      resolvedAt: new Date('2026-11-21T14:00:00Z')
    })
  })

  t.test('an alert id that is missing, empty or not expanded becomes a stable key of device and name', async t => {
    const forms = [
      { alert_id: undefined },
      { alert_id: '' },
      { alert_id: null },
      { alert_id: '{{alert_id}}' },
      { alert_id: '{{ alert.id }}', description: 'other', severity: 'warning' }
    ]
    const events = forms.map(form => webhook.parse(request({ ...body, ...form })))
    t.equal(new Set(events.map(event => event.id)).size, 1)
    t.equal(new Set(events.map(event => event.alert!.externalId)).size, 1)
    for (const event of events) {
      t.match(event.alert!.externalId, /^condition:[0-9a-f]{32}$/)
      t.same(
        event.hints,
        [{ resource: 'devices', externalId: 'd1', kind: 'changed' }],
        'there is no alert on Level to re-read'
      )
    }
    const resolved = webhook.parse(request({ ...body, alert_id: '', event: 'alert.resolved' }))
    t.equal(resolved.alert!.externalId, events[0]!.alert!.externalId, 'the resolution finds its alert')
    t.not(
      webhook.parse(request({ ...body, alert_id: '', name: 'Other' })).alert!.externalId,
      events[0]!.alert!.externalId
    )
    t.not(
      webhook.parse(request({ ...body, alert_id: '', device_id: 'd2' })).alert!.externalId,
      events[0]!.alert!.externalId
    )
  })

  t.test('a repeated delivery is the same event; the other kind, or the same condition later, is another', async t => {
    for (const form of [body, { ...body, alert_id: '{{alert_id}}' }]) {
      const first = webhook.parse(request(form)).id
      mock.timers.tick(60_000)
      t.equal(webhook.parse(request(form)).id, first)
      t.not(webhook.parse(request({ ...form, event: 'alert.resolved' })).id, first)
      mock.timers.tick(10 * 60_000)
      t.not(webhook.parse(request(form)).id, first, 'not swallowed for ever')
      mock.timers.setTime(Date.parse('2026-11-21T14:00:00Z'))
    }
  })

  t.test('unknown events and empty templates give no alert', async t => {
    t.match(webhook.parse(request({ ...body, event: 'alert.snoozed' })), { type: 'alert.snoozed', hints: [] })
    t.notOk('alert' in webhook.parse(request({ ...body, event: 'alert.snoozed' })))
    t.notOk('alert' in webhook.parse(request({ event: 'alert.triggered', device_id: 'D1', name: '{{name}}' })))
    t.match(webhook.parse(request({ ...body, alert_id: 555012, severity: '{{severity}}' })).alert, {
      externalId: '555012',
      severity: 'moderate',
      providerSeverity: null
    })
  })
})

t.test('any JSON that passed the signature parses or throws an error, nothing else', async () => {
  const value = fc.oneof(
    fc.jsonValue(),
    fc.constantFrom('alert_active', 'alert.triggered', 'x', '2026-11-21T13:55:05Z')
  )
  const body = fc.record(
    {
      event_type: value,
      event: value,
      event_id: value,
      occurred_at: value,
      data: fc.oneof(
        value,
        fc.record({ id: value, name: value, device_id: value, started_at: value }, { requiredKeys: [] })
      ),
      alert_id: value,
      name: value
    },
    { requiredKeys: [] }
  )
  fc.assert(
    fc.property(fc.oneof(body, fc.jsonValue()), raw => {
      try {
        const event = webhook.parse(request(raw))
        return (
          event.id !== '' && event.hints.every(hint => typeof hint.externalId === 'string' && hint.externalId !== '')
        )
      } catch (error) {
        return error instanceof Error
      }
    })
  )
})

/** Every variable an automation of Level may use (help article 11321970). */
const systemVariables = [
  'level_time',
  'level_device_id',
  'level_device_hostname',
  'level_device_nickname',
  'level_device_public_ip_address',
  'level_device_private_ip_addresses',
  'level_device_architecture',
  'level_device_cpu_cores',
  'level_device_memory',
  'level_device_memory_formatted',
  'level_device_os',
  'level_device_os_version',
  'level_device_last_boot_at',
  'level_device_last_seen_at',
  'level_group_id',
  'level_group_name',
  'level_group_path',
  'level_tag_names',
  'level_tag_ids'
]

t.test('the template holds documented variables only, and works as it is shipped', async t => {
  const { setup } = webhook
  t.match(setup, { signatureHeader: 'X-Level-Signature', secretHeader: 'X-RMM-Webhook-Secret' })
  t.equal(setup.events.length, 8)
  const template = setup.payloadTemplate!
  const used = [...JSON.stringify(template).matchAll(/\{\{(.*?)\}\}/g)].map(([, name]) => name!)
  t.strictSame(
    used.filter(name => !systemVariables.includes(name)),
    []
  )
  t.notOk('alert_id' in template)
  t.strictSame(
    setup.templateInputs!.map(({ field }) => field),
    Object.keys(template).filter(field => !template[field]!.includes('{{') && field !== 'event'),
    'the rest is what the operator writes'
  )
  const expanded = { ...template, device_id: 'D1', hostname: 'pc', name: 'Platte läuft voll' }
  t.match(webhook.parse(request(expanded)), {
    type: 'alert.triggered',
    hints: [{ resource: 'devices', externalId: 'D1' }],
    alert: { deviceExternalId: 'D1', name: 'Platte läuft voll', severity: 'moderate', status: 'active' }
  })
  for (const { field, choices } of setup.templateInputs!)
    for (const choice of choices ?? [])
      t.not(webhook.parse(request({ ...expanded, [field]: choice })).alert!.severity, undefined, choice)
  t.throws(() => webhook.parse(request(template)), /neither a device nor an alert/, 'variables that were not expanded')
  t.notMatch(setup.instructions.join(), /Create the secret|second automation/, 'nothing is rotated that was just shown')
})

t.test('a body that names neither device nor alert is refused', async t => {
  const blanks = [undefined, null, '', '   ', '{{level_device_id}}', ' {{x}} ', [], {}]
  fc.assert(
    fc.property(
      fc.constantFrom(...blanks),
      fc.constantFrom(...blanks),
      fc.constantFrom(...blanks),
      (device, host, id) => {
        const body = { event: 'alert.triggered', device_id: device, hostname: host, alert_id: id, name: 'Disk full' }
        t.throws(() => webhook.parse(request(body)), /neither a device nor an alert/)
      }
    )
  )
})

t.test('two devices with equal names have two alerts; one name written in two ways is one', async t => {
  const alert = (body: object) =>
    webhook.parse(request({ event: 'alert.triggered', hostname: 'PC-01', name: 'Läuft voll', ...body })).alert!
  t.not(alert({ device_id: 'a' }).externalId, alert({ device_id: 'b' }).externalId)
  t.equal(
    alert({ device_id: 'a', name: 'La\u0308uft voll' }).externalId,
    alert({ device_id: 'a' }).externalId,
    'composed or not'
  )
  const byName = webhook.parse(request({ event: 'alert.triggered', hostname: 'PC-01', name: 'Läuft voll' }))
  t.equal(byName.locate!.hostname, 'PC-01')
  t.equal(
    byName.locate!.as('a').alert!.externalId,
    alert({ device_id: 'a' }).externalId,
    'the same alert, however its device was named'
  )
})

t.test('a severity means the same in any case, and in German', async t => {
  const severity = (word: string) =>
    webhook.parse(request({ event: 'alert.triggered', device_id: 'a', name: 'x', severity: word })).alert!.severity
  for (const [words, meant] of [
    [['emergency', 'EMERGENCY', ' Emergency ', 'Notfall'], 'critical'],
    [['critical', 'Critical', 'KRITISCH', 'major'], 'major'],
    [['warning', 'Warnung', 'moderate', 'no such word'], 'moderate'],
    [['information', 'Info', 'Hinweis', 'minor'], 'minor']
  ] as const)
    for (const word of words) t.equal(severity(word), meant, word)
})
