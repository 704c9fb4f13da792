import { seedLevel } from '../../src/testing/index.ts'
import { connectLevel, fakeLevel, syncNow } from '../helper.ts'
import { overflow, serve, settled, violations, walk } from './browser.ts'

const group = (id: string, name: string, parent: string | null = null) => ({ id, name, parent_id: parent })
const device = (id: string, groupId: string) => ({ id, hostname: id, group_id: groupId, tags: [], online: true })
const hostile = '<img src=x onerror=alert(1)>'

const world = () => ({
  groups: [
    group('g1', 'Acme Ltd.'),
    group('g2', 'Office', 'g1'),
    group('g3', 'Globex'),
    group('g4', hostile),
    group('g5', 'Attic', 'g3')
  ],
  devices: [
    ...['a', 'b', 'c'].map(id => device(id, 'g2')),
    device('d', 'g1'),
    device('e', 'g3'),
    device('f', 'g5'),
    device('g', 'g5'),
    device('h', 'g4')
  ]
})

walk(
  'groups are mapped: what it does is told before, many edits are one save, and what was told comes true',
  async (t, open) => {
    const fake = await fakeLevel(t, { world: world() })
    const site = await serve(t)
    const id = await connectLevel(site.host, fake)
    await syncNow(site.host, id)
    const { page, go, expect } = await open(site)
    expect(/status of 403/)
    await go(`connections/${id}/mapping`)
    const row = (name: string) => page.locator('.virtual li', { has: page.getByText(name, { exact: true }) })
    await row(hostile).waitFor()
    t.equal(await page.locator('.virtual img').count(), 0, 'names with HTML are text')
    t.match(await row('Acme Ltd.').textContent(), /1 device · 4 with the groups below/)

    await row('Acme Ltd.').getByLabel('Mapping of Acme Ltd.').selectOption('mapped')
    await page.getByText('1 group still needs a client').waitFor()
    t.equal(await page.getByRole('button', { name: 'Save 1 change' }).isDisabled(), true)
    const picker = row('Acme Ltd.').getByRole('combobox', { name: 'Client of Acme Ltd.' })
    await picker.focus()
    await page.keyboard.type('ac')
    await page.getByRole('option', { name: 'Acme Ltd' }).waitFor()
    t.same(await violations(page), [])
    await page.keyboard.press('ArrowDown')
    await page.keyboard.press('Enter')
    t.equal(await picker.inputValue(), 'Acme Ltd')
    t.match(await row('Acme Ltd.').textContent(), /4 devices get a client/)
    t.match(
      await row('Office').getByLabel('Mapping of Office').locator('option').first().textContent(),
      'As above: Acme Ltd'
    )
    await row('Office').getByLabel('Mapping of Office').selectOption('excluded')
    const bar = page.locator('.savebar')
    t.match(await bar.textContent(), /2 changes not saved.*1 device gets a client/s)
    t.equal((await site.host.call('t1', 'GET', '/devices?mapped=true')).body.items.length, 0, 'nothing is saved yet')

    site.session.denied.add('mapping:write')
    await page.getByRole('button', { name: 'Save 2 changes' }).click()
    await bar.getByText('You are not allowed to do this').waitFor()
    t.equal(await picker.inputValue(), 'Acme Ltd', 'the draft stays')
    site.session.denied.clear()
    await bar.getByRole('button', { name: 'Try again' }).click()
    await bar.waitFor({ state: 'detached' })
    const mapped = (await site.host.call('t1', 'GET', '/devices?mapped=true')).body.items
    t.same(
      mapped.map((device: any) => [device.externalId, device.clientRef]),
      [['d', 'c1']]
    )

    await row('Office').getByLabel('Mapping of Office').selectOption('inherit')
    await bar.getByText('3 devices get a client').waitFor()
    await page.getByRole('link', { name: 'Overview' }).click()
    await page.getByRole('button', { name: 'Stay here' }).click()
    await bar.getByRole('button', { name: 'Discard' }).click()
    t.equal(await row('Office').getByLabel('Mapping of Office').inputValue(), 'excluded')
  }
)

walk('suggestions are accepted one by one or all, and become part of the one save', async (t, open) => {
  const fake = await fakeLevel(t, { world: world() })
  const site = await serve(t)
  const id = await connectLevel(site.host, fake)
  await syncNow(site.host, id)
  const { page, go } = await open(site)
  await go(`connections/${id}/mapping`)
  await page.getByRole('button', { name: 'Find suggestions' }).click()
  await page.getByRole('table', { name: 'Suggestions' }).waitFor()
  t.same(await violations(page), [])
  await page.getByRole('button', { name: 'Accept Globex for Globex' }).click()
  t.equal(await page.getByRole('combobox', { name: 'Client of Globex' }).inputValue(), 'Globex')
  await page.getByText('3 devices get a client').first().waitFor()
  await page.getByRole('button', { name: 'Accept all 1' }).click()
  await page.getByText('No suggestions: no open group looks like a client.').waitFor()
  t.equal(
    (await site.host.call('t1', 'GET', '/devices?mapped=true')).body.items.length,
    0,
    'nothing is applied before the save'
  )
  await page.getByRole('button', { name: 'Save 2 changes' }).click()
  await page.locator('.savebar').waitFor({ state: 'detached' })
  t.equal((await site.host.call('t1', 'GET', '/devices?mapped=true')).body.items.length, 7)
})

walk('closing the tab with a draft asks first', async (t, open) => {
  const fake = await fakeLevel(t, { world: world() })
  const site = await serve(t)
  const id = await connectLevel(site.host, fake)
  await syncNow(site.host, id)
  const { page, go } = await open(site)
  await go(`connections/${id}/mapping`)
  await page.getByLabel('Mapping of Globex').selectOption('excluded')
  await page.locator('.savebar').waitFor()
  // Browsers ask only where somebody really touched the page.
  await page.getByLabel('Search groups and clients').click()
  const asked = page.waitForEvent('dialog')
  const closing = page.reload().catch(() => {})
  const dialog = await asked
  t.equal(dialog.type(), 'beforeunload')
  await dialog.dismiss()
  t.equal(await page.getByLabel('Mapping of Globex').inputValue(), 'excluded')
  await page.getByRole('button', { name: 'Discard' }).click()
  await closing
})

walk(
  'five thousand groups and three thousand clients: few rows exist, search and type-ahead find any',
  async (t, open) => {
    const clients = Array.from({ length: 3000 }, (_, i) => ({
      id: `k${i}`,
      name: `Client ${String(i).padStart(4, '0')}`
    }))
    const fake = await fakeLevel(t, { world: seedLevel({ devices: 50, groups: 5000, alerts: 0, updatesPerDevice: 0 }) })
    const site = await serve(t, {
      directory: { clients: () => clients, client: (_tenant, id) => clients.find(client => client.id === id) ?? null }
    })
    const id = await connectLevel(site.host, fake)
    await syncNow(site.host, id, { resources: ['organizations'] })
    const { page, go } = await open(site)
    await go(`connections/${id}/mapping`)
    await page.getByText('5,000 groups').waitFor()
    const rows = page.locator('.virtual li')
    const nodes = () =>
      page.evaluate('document.querySelector("rmm-settings").shadowRoot.querySelectorAll("*").length') as Promise<number>
    t.ok((await rows.count()) < 40, `${await rows.count()} rows`)
    t.ok((await nodes()) < 1000, `${await nodes()} elements`)
    const focused = await rows.first().getAttribute('data-key')
    await rows.first().getByRole('combobox').first().focus()
    await page.evaluate(
      '(list => { list.scrollTop = list.scrollHeight })(document.querySelector("rmm-settings").shadowRoot.querySelector(".virtual"))'
    )
    await page.locator('.virtual li[aria-posinset="5000"]').waitFor()
    t.ok((await nodes()) < 1000, `${await nodes()} elements at the end`)
    t.equal(
      await page.evaluate('document.activeElement.shadowRoot.activeElement.closest("li").dataset.key'),
      focused,
      'the focus is not lost by scrolling'
    )

    const last = page.locator('.virtual li[aria-posinset="5000"]')
    await last.locator('select').selectOption('mapped')
    await last.getByRole('combobox', { name: /^Client of/ }).fill('2718')
    await page.getByRole('option', { name: 'Client 2718' }).click()
    await page.getByText('1 change not saved').waitFor()
    await page.getByLabel('Search groups and clients').fill('client 2718')
    await rows.nth(5).waitFor({ state: 'detached' })
    await page.locator('.virtual li .changed').waitFor()
    t.ok((await rows.count()) < 6, 'found by its client, with the groups above it')
    await page.getByLabel('Search groups and clients').fill('')
    await page.getByText('5,000 groups').waitFor()
    await page.getByRole('button', { name: 'Collapse all' }).click()
    await page.getByText('5,000 groups').waitFor({ state: 'detached' })
    t.same(await violations(page), [])
    await page.setViewportSize({ width: 360, height: 740 })
    await settled(page)
    t.equal(await overflow(page), 0)
    await page.getByRole('button', { name: 'Save 1 change' }).click()
    await page.locator('.savebar').waitFor({ state: 'detached' })
  }
)
