import { connectLevel, fakeLevel, syncNow } from '../helper.ts'
import { serve, until, violations, walk } from './browser.ts'
import { freePort } from '../ports.ts'

/** Commits every page, so that there is something to watch for long enough. */
const engine = { tickMs: 200, leaseMs: 2_000, retryDelayMs: 20, batchRecords: 5 }

walk('a sync is started, watched and cancelled; the history tells how it ended', async (t, open) => {
  const fake = await fakeLevel(t, { devices: 2000, groups: 6, maxLimit: 5, latencyMs: 20 })
  const site = await serve(t, { engine })
  const id = await connectLevel(site.host, fake)
  const { page, go } = await open(site)
  await go(`connections/${id}`)
  await page.getByText('Run the first sync').waitFor()
  await go(`connections/${id}/sync`)
  await page.getByText('No sync has run yet.').waitFor()
  t.same(await violations(page), [])
  await page.getByRole('button', { name: 'Start sync' }).click()
  const progress = page.getByRole('table', { name: 'Progress' })
  const devices = progress.getByRole('row', { name: /Devices/ })
  const read = async () => Number((await devices.locator('td').nth(2).textContent())!.replace(',', ''))
  await devices.getByText('Reading').waitFor()
  const first = await read()
  await until(
    page,
    `(rows => Number(rows.find(row => row.textContent.startsWith('Devices')).children[2].textContent.replace(',', '')) > ${first})([...document.querySelector('rmm-settings').shadowRoot.querySelectorAll('tr')])`
  )
  t.pass('records are counted as pages land')
  t.equal(await page.getByRole('button', { name: 'Start sync' }).isDisabled(), true)
  await page.getByRole('button', { name: 'Cancel sync' }).click()
  await page.locator('.card h2 .badge', { hasText: 'Cancelled' }).waitFor()
  await page.getByRole('table', { name: 'History' }).getByText('Cancelled', { exact: true }).waitFor()

  await page.getByLabel('Alerts', { exact: true }).uncheck()
  await page.getByLabel('Missing updates', { exact: true }).uncheck()
  await page.getByLabel('Devices', { exact: true }).uncheck()
  await page.getByLabel('How much').selectOption('incremental')
  await page.getByRole('button', { name: 'Start sync' }).click()
  await page.locator('.card h2 .badge', { hasText: 'Succeeded' }).waitFor()
  const [latest] = (await site.host.call('t1', 'GET', `/connections/${id}/runs`)).body.items
  t.match(latest, { resources: ['organizations'], mode: 'incremental', status: 'succeeded' })
  t.same(await violations(page), [])
})

walk('what failed is listed with its reason, and a held mass removal is confirmed', async (t, open) => {
  const groups = [
    { id: 'g1', name: 'North', parent_id: null },
    { id: 'g2', name: 'South', parent_id: null }
  ]
  const devices = Array.from({ length: 40 }, (_, i) => ({
    id: `d${i}`,
    hostname: `pc-${i}`,
    group_id: i < 20 ? 'g1' : 'g2',
    tags: [],
    online: true
  }))
  const fake = await fakeLevel(t, { world: { groups, devices } })
  const site = await serve(t)
  const id = await connectLevel(site.host, fake)
  await syncNow(site.host, id)
  const organizations = (await site.host.call('t1', 'GET', `/connections/${id}/organizations`)).body.items
  await site.host.call('t1', 'PUT', `/connections/${id}/mappings`, {
    mappings: organizations.map((organization: any, i: number) => ({
      organizationId: organization.id,
      mode: 'mapped',
      clientRef: `c${i + 1}`
    }))
  })
  await site.host.call('t1', 'PATCH', `/connections/${id}`, { movePolicy: 'hold' })
  fake.devices.move('d0', 'g2')
  await syncNow(site.host, id)
  for (let i = 10; i < 30; i++) fake.devices.delete(`d${i}`)
  const { page, go } = await open(site)
  await go(`connections/${id}/sync`)
  await page.getByRole('button', { name: 'Start sync' }).click()
  await page.getByText('A removal was held back').waitFor()
  t.equal(
    (await site.host.call('t1', 'GET', '/devices?limit=100&removed=true')).body.items.filter(
      (device: any) => device.removedAt !== null
    ).length,
    0
  )
  await page
    .getByRole('button', { name: /^Details of the sync/ })
    .nth(1)
    .click()
  await page.getByRole('heading', { name: 'Records that were not simply taken' }).waitFor()
  t.equal(await page.getByRole('button', { name: 'Hide details' }).getAttribute('aria-expanded'), 'true')
  t.same(await violations(page), [])
  const moved = page
    .getByRole('table', { name: 'Records that were not simply taken' })
    .getByRole('row', { name: /Devices d0/ })
  t.match(await moved.textContent(), /Held back/)
  await page.getByLabel('Outcome').selectOption('failed')
  await page.getByText('Every record was taken').waitFor()

  await page.getByRole('button', { name: 'Confirm removal…' }).click()
  const dialog = page.getByRole('dialog', { name: 'Remove them here?' })
  await dialog
    .getByText(/no longer lists/)
    .first()
    .waitFor()
  t.same(await violations(page), [])
  await dialog.getByRole('button', { name: 'Sync and remove' }).click()
  await page.locator('.card h2 .badge', { hasText: 'Succeeded' }).waitFor()
  await page.getByText('A removal was held back').waitFor({ state: 'detached' })
  t.equal(
    (await site.host.call('t1', 'GET', '/devices?limit=100&removed=true')).body.items.filter(
      (device: any) => device.removedAt !== null
    ).length,
    20
  )
})

walk(
  'the server goes away in the middle of a sync and comes back: said in words, and the view goes on by itself',
  async (t, open) => {
    const fake = await fakeLevel(t, { devices: 200, groups: 2, maxLimit: 5 })
    // One page is never answered: the sync is in its middle until the server has gone away.
    fake.fail({ path: '/v2/devices', kind: 'no-answer', after: 3 })
    const port = await freePort()
    const first = await serve(t, { engine, port, shutdown: { graceMs: 0 } })
    const id = await connectLevel(first.host, fake)
    const { page, go, expect } = await open(first)
    expect(/ERR_CONNECTION_REFUSED|ERR_CONNECTION_RESET|ERR_INCOMPLETE_CHUNKED|ERR_EMPTY_RESPONSE/)
    await go(`connections/${id}/sync`)
    await page.getByRole('button', { name: 'Start sync' }).click()
    await page.getByRole('table', { name: 'Progress' }).getByText('Reading').first().waitFor()
    await first.host.app.close()
    await page.getByText('The live view was interrupted. Connecting again…').waitFor()
    t.same(await violations(page), [])
    await page.getByRole('button', { name: 'Cancel sync' }).click()
    await page.getByText('The server cannot be reached').waitFor()
    const second = await serve(t, { engine, on: first.host, port })
    await page.locator('.card h2 .badge', { hasText: 'Succeeded' }).waitFor()
    t.equal((await second.host.call('t1', 'GET', '/devices?limit=200')).body.items.length, 200)
  }
)

walk('the schedule is set within its bounds', async (t, open) => {
  const fake = await fakeLevel(t)
  const site = await serve(t, { schedule: { enabled: false } })
  const id = await connectLevel(site.host, fake)
  const { page, go } = await open(site)
  await go(`connections/${id}/sync`)
  const on = page.getByLabel('Sync by itself')
  await on.setChecked(false)
  await on.setChecked(true)
  await page.getByLabel('Minutes between two syncs').fill('5')
  await page.getByText('This value does not have the right form.').first().waitFor()
  const save = page.getByRole('button', { name: 'Save', exact: true })
  t.equal(await save.isDisabled(), true)
  t.same(await violations(page), [])
  await page.getByLabel('Minutes between two syncs').fill('30')
  await page.getByLabel('Minutes between two full reads').fill('720')
  await save.click()
  await page.getByText('Saved').first().waitFor()
  t.match((await site.host.call('t1', 'GET', `/connections/${id}`)).body.schedule, {
    enabled: true,
    everyMinutes: 30,
    fullEveryMinutes: 720
  })
})

walk('the webhook card: address, steps, a new secret, deliveries and their replay', async (t, open) => {
  const fake = await fakeLevel(t, { devices: 3 })
  const site = await serve(t)
  const id = await connectLevel(site.host, fake)
  const { page, go } = await open(site)
  await go(`connections/${id}/webhook`)
  await page.getByText('Nothing was delivered yet.').waitFor()
  const { body: info } = await site.host.call('t1', 'GET', `/connections/${id}/webhook`)
  for (const step of info.instructions) await page.getByText(step, { exact: true }).waitFor()
  await page.getByText('X-Level-Signature').first().waitFor()
  await page.context().grantPermissions(['clipboard-read', 'clipboard-write'])
  await page.getByRole('button', { name: 'Copy: Address' }).click()
  await page.getByText('Copied').first().waitFor()
  t.equal(await page.evaluate('navigator.clipboard.readText()'), info.url)

  await page.getByRole('button', { name: 'Rotate secret…' }).click()
  t.same(await violations(page), [])
  await page.getByRole('button', { name: 'Make a new secret' }).click()
  await page.getByText('Keep the webhook secret now').waitFor()
  const secret = (await page.locator('.copy code').nth(1).textContent())!
  const delivered = await site.host.app.inject({
    method: 'POST',
    url: new URL(info.url).pathname,
    headers: { 'content-type': 'application/json', 'x-rmm-webhook-secret': secret },
    payload: { event: 'alert.triggered', device_id: fake.devices.ids()[0], name: 'Disk full', severity: 'critical' }
  })
  t.equal(delivered.statusCode, 202, 'the secret on the page is the one that counts')
  await page.getByRole('button', { name: 'Look again' }).click()
  const deliveries = page.getByRole('table', { name: 'Recent deliveries' })
  await deliveries.getByText('alert.triggered').waitFor()
  await deliveries.getByRole('button', { name: /^Replay/ }).click()
  await deliveries.getByText('Waiting').waitFor()
  t.same(await violations(page), [])
})

walk('a held move of many devices is confirmed', async (t, open) => {
  const groups = ['North', 'South'].map((name, n) => ({ id: `g${n + 1}`, name, parent_id: null }))
  const devices = Array.from({ length: 20 }, (_, i) => ({
    id: `d${i}`,
    hostname: `pc-${i}`,
    group_id: 'g1',
    tags: [],
    online: true
  }))
  const fake = await fakeLevel(t, { world: { groups, devices } })
  const site = await serve(t)
  const id = await connectLevel(site.host, fake)
  await syncNow(site.host, id)
  const organizations = (await site.host.call('t1', 'GET', `/connections/${id}/organizations`)).body.items
  await site.host.call('t1', 'PUT', `/connections/${id}/mappings`, {
    mappings: organizations.map((organization: any, i: number) => ({
      organizationId: organization.id,
      mode: 'mapped',
      clientRef: `c${i + 1}`
    }))
  })
  await syncNow(site.host, id)
  for (let i = 0; i < 15; i++) fake.devices.move(`d${i}`, 'g2')
  const { page, go } = await open(site)
  await go(`connections/${id}/sync`)
  await page.getByRole('button', { name: 'Start sync' }).click()
  await page.getByText('A move of many devices was held back').waitFor()
  await page.getByRole('button', { name: 'Confirm move…' }).click()
  const dialog = page.getByRole('dialog', { name: 'Let them change their client?' })
  t.same(await violations(page), [])
  await dialog.getByRole('button', { name: 'Sync and move' }).click()
  await page.locator('.card h2 .badge', { hasText: 'Succeeded' }).waitFor()
  const of = async (client: string) =>
    (await site.host.call('t1', 'GET', `/devices?limit=100&clientRef=${client}`)).body.items.length
  t.equal(await of('c2'), 15)
})
