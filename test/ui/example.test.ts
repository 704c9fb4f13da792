import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Test } from 'tap'
import { type Site, violations, walk } from './browser.ts'
import { until } from '../until.ts'

/** `npm start` in a folder of its own, until it prints the link to the page. */
async function startExample(t: Test): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), 'rmm-example-'))
  const env = { ...process.env, DATA_FOLDER: folder, PORT: '0', DATABASE_URL: '' }
  const child = spawn('env', ['-u', 'NODE_OPTIONS', process.execPath, 'examples/host/main.ts'], {
    cwd: new URL('../..', import.meta.url),
    env,
    stdio: ['ignore', 'pipe', 'pipe']
  })
  let written = ''
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => {
      written += text
    })
  const ended = new Promise<void>(resolve => child.once('close', () => resolve()))
  t.teardown(async () => {
    child.kill('SIGTERM')
    await ended
    rmSync(folder, { recursive: true, force: true })
  })
  return await until(
    'the link',
    () => {
      if (child.exitCode !== null) throw new Error(`no link came:\n${written}`)
      return /(http:\/\/\S+\/rmm\/ui\/#token=\S+)/.exec(written)?.[1]
    },
    240_000
  )
}

walk('the link that the example host prints opens the page on its two platforms', async (t, open) => {
  const link = await startExample(t)
  const site = { url: new URL(link).origin } as Site
  const { page } = await open(site, { signedIn: false })
  await page.goto(link)
  await page.getByRole('link', { name: 'Level (fake)' }).waitFor()
  await page.getByRole('link', { name: 'MeshCentral (fake)' }).waitFor()
  t.notMatch(page.url(), 'token')
  t.same(await violations(page), [])
  await page.getByRole('link', { name: 'Level (fake)' }).click()
  await page.getByRole('link', { name: 'Mapping', exact: true }).click()
  await page.locator('.virtual li').first().waitFor()
  await page.getByRole('link', { name: 'Devices', exact: true }).click()
  await page.getByRole('table', { name: 'Devices' }).waitFor()
})
