import { mkdirSync } from 'node:fs'
import t from 'tap'
import { level } from '../../src/providers/level/index.ts'
import { meshcentral } from '../../src/providers/meshcentral/index.ts'
import { startFakeMeshCentral } from '../../src/testing/fake-mesh/index.ts'
import { connectLevel, fakeLevel, syncNow } from '../helper.ts'
import { noBrowser, open, serve } from './browser.ts'

/** `node test/ui/screenshots.ts [folder]`: a picture of every page. docs/images has those that the guide shows. */
const folder = process.argv[2] ?? new URL('../../.cache/screenshots', import.meta.url).pathname

const clients = [
  'Bay Bakery',
  'Elm Dental',
  'Harbour Dental',
  'Northgate Partners',
  'Oakfield Legal',
  'Riverside Clinic'
].map((name, i) => ({ id: `c${i + 1}`, name }))

void t.test('the pictures of the documentation', { skip: noBrowser }, async t => {
  mkdirSync(folder, { recursive: true })
  const fake = await fakeLevel(t, { devices: 140, groups: 14, maxLimit: 20, seed: 3 })
  const mesh = await startFakeMeshCentral({ groups: 2, devices: 6 })
  t.teardown(() => mesh.close())
  for (const name of ['Elm Dental', 'Oakfield Legal', 'oakfield legal'])
    mesh.world.addGroup(name, { account: mesh.account })
  const site = await serve(t, {
    providers: [level({ allowPrivateNetwork: true }), meshcentral({ allowPrivateNetwork: true })],
    directory: { clients: () => clients, client: (_tenant, id) => clients.find(client => client.id === id) ?? null }
  })
  const id = await connectLevel(site.host, fake)
  const { body } = await site.host.call('t1', 'POST', '/connections', {
    provider: 'meshcentral',
    config: { url: mesh.url },
    secrets: { username: mesh.username, password: mesh.password }
  })
  await syncNow(site.host, body.connection.id)
  await syncNow(site.host, id)
  const organizations = (await site.host.call('t1', 'GET', `/connections/${id}/organizations`)).body.items
  const top = organizations.filter((organization: any) => organization.parentExternalId === null)
  await site.host.call('t1', 'PUT', `/connections/${id}/mappings`, {
    mappings: [{ organizationId: top[0].id, mode: 'mapped', clientRef: 'c3' }]
  })
  const tab = await open(t, site)
  const { page, go } = tab
  const shoot = async (name: string, fullPage = false) => {
    await page.screenshot({ path: `${folder}/${name}.png`, fullPage, animations: 'disabled', caret: 'hide' })
  }
  for (const [name, place] of [
    ['connections', ''],
    ['connect', 'connect/meshcentral'],
    ['overview', `connections/${id}`],
    ['webhook', `connections/${id}/webhook`],
    ['devices', 'devices'],
    ['alerts', 'alerts']
  ] as const) {
    await go(place)
    await shoot(name)
  }
  await page.getByRole('link', { name: 'Devices' }).click()
  await page.getByRole('table').getByRole('link').nth(3).click()
  await page.getByRole('heading', { name: 'Identity' }).waitFor()
  await shoot('device')

  await go(`connections/${id}/mapping`)
  const rows = page.locator('.virtual li')
  const open3 = rows.nth((await rows.count()) > 8 ? 7 : 3)
  await open3.locator('select').selectOption('mapped')
  await open3.getByRole('combobox', { name: /^Client of/ }).fill('o')
  await page.locator('.options [role=option]').nth(1).waitFor()
  await page.keyboard.press('ArrowDown')
  await page.setViewportSize({ width: 1100, height: 1000 })
  await shoot('mapping')
  await page.keyboard.press('Enter')
  await page.setViewportSize({ width: 360, height: 740 })
  await page.locator('.virtual').scrollIntoViewIfNeeded()
  await shoot('mapping-narrow')
  await page.setViewportSize({ width: 1100, height: 800 })
  await page.getByRole('button', { name: 'Discard' }).click()

  await go(`connections/${body.connection.id}/groups`)
  await page.getByRole('button', { name: 'Preview changes' }).click()
  await page.getByRole('button', { name: /^Carry out/ }).waitFor()
  await shoot('device-groups')

  await go(`connections/${id}/sync`)
  await page.getByRole('button', { name: 'Start sync' }).click()
  await page.getByRole('table', { name: 'Progress' }).waitFor()
  await page.locator('.card h2 .badge', { hasText: 'Succeeded' }).waitFor()
  await shoot('sync')
  await page.emulateMedia({ colorScheme: 'dark' })
  await go(`connections/${id}/settings`)
  await shoot('settings-dark')
  t.same(tab.complaints(), [])
})
