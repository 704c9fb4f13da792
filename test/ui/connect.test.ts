import { connectLevel, fakeLevel, syncNow } from '../helper.ts'
import { overflow, serve, settled, violations, walk } from './browser.ts'
import { until } from '../until.ts'

walk(
  'an operator connects Level: refused at the field, corrected, connected, with the secret shown once',
  async (t, open) => {
    const fake = await fakeLevel(t)
    const site = await serve(t)
    const { page, go, expect } = await open(site)
    expect(/status of (400|422)/)
    await go('')
    await page.getByText('Nothing is connected yet').waitFor()
    for (const can of ['Groups', 'Devices', 'Missing updates', 'Alerts', 'Resolving alerts', 'Live updates'])
      t.equal(await page.getByText(can, { exact: true }).last().isVisible(), true, can)
    t.equal(await page.getByText('Device groups for clients').count(), 0, 'Level cannot do that')
    await page.getByRole('link', { name: 'Connect Level' }).click()
    const key = page.getByLabel('API key')
    t.equal(await key.getAttribute('type'), 'password')
    await page.getByRole('button', { name: 'Check and connect' }).click()
    await page.getByText('Fill in this field.').waitFor()
    t.equal(await key.getAttribute('aria-invalid'), 'true')
    t.equal(fake.requests.length, 0, 'nothing was asked of the platform')
    t.same(await violations(page), [])

    await page.getByLabel('API address (optional)').fill(fake.url)
    await key.fill('wrong-key')
    await page.getByLabel('Name').fill('Acme <b>RMM</b>')
    await page.getByRole('button', { name: 'Check and connect' }).click()
    const said = page.locator('.field', { has: key }).locator('.wrong')
    await said.waitFor()
    t.match(await said.textContent(), /API key/, "the platform's error is where the field is")
    t.equal(await key.inputValue(), 'wrong-key', 'typed values stay')
    t.equal((await site.host.call('t1', 'GET', '/connections')).body.items.length, 0)

    await key.fill(fake.apiKey)
    await page.getByRole('button', { name: 'Check and connect' }).click()
    await page.getByRole('heading', { name: 'Acme <b>RMM</b> is connected' }).waitFor()
    await page.getByText('Keep the webhook secret now').waitFor()
    t.match(await page.locator('.copy code').first().textContent(), /^https:\/\/psa\.example\.com\/rmm\/hooks\//)
    t.same(await violations(page), [])
    const [connection] = (await site.host.call('t1', 'GET', '/connections')).body.items
    t.equal(connection.name, 'Acme <b>RMM</b>')
    await page.getByRole('link', { name: 'Go to sync' }).click()
    await page.getByRole('heading', { name: 'Start a sync' }).waitFor()
  }
)

walk('an account that is connected already is named, with the way to it and the way past it', async (t, open) => {
  const fake = await fakeLevel(t)
  const site = await serve(t)
  const id = await connectLevel(site.host, fake)
  const { page, go, expect } = await open(site)
  expect(/status of 409/)
  await go('connect/levelio')
  await page.getByLabel('API address (optional)').fill(fake.url)
  await page.getByLabel('API key').fill(fake.apiKey)
  await page.getByRole('button', { name: 'Check and connect' }).click()
  await page.getByText('is connected already, as').waitFor()
  t.equal(
    await page.getByRole('link', { name: 'Open that connection' }).getAttribute('href'),
    `#/connections/${id}/settings`
  )
  t.same(await violations(page), [])
  await page.getByRole('button', { name: 'Connect it all the same' }).click()
  await page.getByRole('heading', { name: 'Level is connected' }).waitFor()
  t.equal((await site.host.call('t1', 'GET', '/connections')).body.items.length, 2)
})

walk('a connection is led to another address with its secrets only', async (t, open) => {
  const [fake, other] = [await fakeLevel(t), await fakeLevel(t)]
  const site = await serve(t)
  const id = await connectLevel(site.host, fake)
  const { page, go } = await open(site)
  await go(`connections/${id}/settings`)
  await page.getByLabel('API address (optional)').fill(other.url)
  await page.getByRole('button', { name: 'Check and save' }).click()
  await page.getByText('Fill in this field.').waitFor()
  t.equal(other.requests.length, 0)
  await page.getByLabel('API key').fill(other.apiKey)
  await page.getByRole('button', { name: 'Check and save' }).click()
  await page.getByText('Saved').first().waitFor()
  t.equal((await site.host.call('t1', 'GET', `/connections/${id}`)).body.config.baseUrl, other.url)
})

walk('leaving a form that was typed into asks first, by link and by the back button', async (t, open) => {
  const site = await serve(t)
  const { page, go } = await open(site)
  await go('')
  await go('connect/levelio')
  await page.getByLabel('API key').fill('abc')
  await page.getByRole('link', { name: 'Devices' }).click()
  const question = page.getByRole('dialog', { name: 'Leave without saving?' })
  await question.waitFor()
  t.same(await violations(page), [])
  await page.keyboard.press('Escape')
  await question.waitFor({ state: 'detached' })
  t.equal(await page.getByLabel('API key').inputValue(), 'abc')
  await page.goBack()
  await question.waitFor()
  t.equal(await page.getByLabel('API key').inputValue(), 'abc')
  await question.getByRole('button', { name: 'Discard changes' }).click()
  await page.getByText('Nothing is connected yet').waitFor()
})

walk('an operator tests, renames, rotates, disconnects with what stays, reconnects and deletes', async (t, open) => {
  const fake = await fakeLevel(t, { devices: 4 })
  const site = await serve(t)
  const id = await connectLevel(site.host, fake)
  await syncNow(site.host, id)
  const stored = async () => (await site.host.call('t1', 'GET', `/connections/${id}`)).body
  const { page, go, expect } = await open(site)
  expect(/status of (422|404)/)
  await go(`connections/${id}`)
  await page.getByRole('button', { name: 'Test connection' }).click()
  await page.getByText(/accepts the connection/).waitFor()
  t.same(await violations(page), [])
  fake.fail({ status: 401, times: 1 })
  await page.getByRole('button', { name: 'Test connection' }).click()
  await page.getByText('That did not work').waitFor()
  await page.locator('.title .wrong').waitFor()
  await page.getByRole('button', { name: 'Try again' }).click()
  await page.getByText(/accepts the connection/).waitFor()

  await go(`connections/${id}/settings`)
  t.same(await violations(page), [])
  await page.getByLabel('Name', { exact: true }).fill('Level EU')
  await page.getByLabel('When a device moves').selectOption('hold')
  await page.getByRole('button', { name: 'Save', exact: true }).click()
  await page.getByRole('heading', { name: 'Level EU' }).waitFor()
  t.match(await stored(), { name: 'Level EU', movePolicy: 'hold' })

  await page.getByLabel('API key').fill('no-such-key')
  await page.getByRole('button', { name: 'Check and save' }).click()
  await page.locator('.field .wrong').waitFor()
  t.equal((await stored()).status, 'connected', 'the old secret stays')
  await page.getByLabel('API key').fill(fake.readOnlyKey)
  await page.getByRole('button', { name: 'Check and save' }).click()
  await page.getByText('Saved').first().waitFor()
  // The word may still be that of the save before; the field is emptied when this one is done.
  await until('an empty field', async () => (await page.getByLabel('API key').inputValue()) === '')
  t.equal(await page.getByLabel('API key').inputValue(), '', 'secrets do not linger')

  await page.getByRole('button', { name: 'Disconnect…' }).click()
  const dialog = page.getByRole('dialog', { name: 'Disconnect Level EU?' })
  await dialog.getByText(/Mapping, 4 devices and history stay/).waitFor()
  t.same(await violations(page), [])
  await dialog.getByRole('button', { name: 'Disconnect', exact: true }).click()
  await page.getByRole('heading', { name: 'Connections' }).waitFor()
  t.match(await stored(), { status: 'disconnected', counts: { devices: 4 } })

  await go(`connections/${id}/settings`)
  await page.getByLabel('API key').fill(fake.apiKey)
  await page.getByRole('button', { name: 'Check and reconnect' }).click()
  await page.locator('.title').getByText('Connected', { exact: true }).waitFor()
  await page.getByRole('button', { name: 'Disconnect…' }).click()
  await dialog.getByText('Delete everything of this connection').click()
  const remove = dialog.getByRole('button', { name: 'Delete everything' })
  t.equal(await remove.isDisabled(), true, 'the name has to be typed')
  await dialog.getByLabel('Type the name of the connection').fill('Level EU')
  await remove.click()
  await page.getByText('Nothing is connected yet').waitFor()
  t.equal((await site.host.call('t1', 'GET', '/devices')).body.items.length, 0)
})

walk(
  'a lost session, a missing right, a cut network: said in words, tried again, typed values stay',
  async (t, open) => {
    const fake = await fakeLevel(t)
    const site = await serve(t)
    const { page, go, expect } = await open(site)
    expect(/status of (401|403|404)|ERR_INTERNET_DISCONNECTED|ERR_FAILED/)
    await go('connect/levelio')
    await page.getByLabel('API address (optional)').fill(fake.url)
    await page.getByLabel('API key').fill(fake.apiKey)
    const send = page.getByRole('button', { name: 'Check and connect' })
    site.session.alive = false
    await send.click()
    await page.getByText('Your session has ended').waitFor()
    t.same(await violations(page), [])
    site.session.alive = true
    site.session.denied.add('connection:write')
    await page.getByRole('button', { name: 'Try again' }).click()
    await page.getByText('You are not allowed to do this').waitFor()
    await page.getByText('Ask your administrator', { exact: true }).waitFor()
    site.session.denied.clear()
    await page.route('**/rmm/connections', route => route.abort('internetdisconnected'))
    await page.getByRole('button', { name: 'Try again' }).click()
    await page.getByText('The server cannot be reached').waitFor()
    t.equal(await page.getByLabel('API key').inputValue(), fake.apiKey)
    await page.unroute('**/rmm/connections')
    await page.getByRole('button', { name: 'Try again' }).click()
    await page.getByRole('heading', { name: 'Level is connected' }).waitFor()

    site.session.denied.add('alert:read')
    await go('alerts')
    await page.getByText('You are not allowed to do this').waitFor()
    t.same(await violations(page), [])
    site.session.denied.clear()
    await page.getByRole('button', { name: 'Try again' }).click()
    await page.getByText('No alerts.').waitFor()
    await go('connections/no-such-connection')
    await page.getByText('Connection not found').waitFor()
  }
)

walk('every part of the page fits 360 pixels, and the keyboard reaches it', async (t, open) => {
  const fake = await fakeLevel(t, { devices: 12 })
  fake.groups.set({
    name: 'Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft mbH',
    parent_id: null
  })
  fake.devices.set({
    hostname: '東京都渋谷区本社ネットワーク監視サーバー運用管理用端末その一',
    group_id: fake.groups.ids()[0]!
  })
  const site = await serve(t)
  const id = await connectLevel(site.host, fake)
  await syncNow(site.host, id)
  const { page, go } = await open(site, { width: 360, height: 740 })
  const device = (await site.host.call('t1', 'GET', '/devices')).body.items[0].id
  for (const place of [
    '',
    'connect/levelio',
    `connections/${id}`,
    ...['mapping', 'sync', 'webhook', 'settings'].map(part => `connections/${id}/${part}`),
    'devices',
    `devices/${device}`,
    'alerts'
  ]) {
    await go(place)
    t.equal(await overflow(page), 0, place)
  }
  await go('')
  await page.reload()
  await settled(page)
  await page.keyboard.press('Tab')
  t.equal(await page.evaluate('document.activeElement.shadowRoot.activeElement.textContent'), 'Skip to content')
  await page.keyboard.press('Enter')
  t.equal(await page.evaluate('document.activeElement.shadowRoot.activeElement.localName'), 'main')
  await page.keyboard.press('Tab')
  await page.keyboard.press('Enter')
  await page.getByRole('heading', { name: 'Level', level: 1 }).waitFor()
  t.equal(
    await page.evaluate('document.activeElement.shadowRoot.activeElement.localName'),
    'main',
    'the focus goes where the new content is'
  )
})
