import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { MikroORM } from '@mikro-orm/core'
import { PostgreSqlDriver } from '@mikro-orm/postgresql'
import t, { type Test } from 'tap'
import { until } from '../until.ts'

const packageJson = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
  scripts?: { start?: string }
}
const root = new URL('../..', import.meta.url)
const main = 'examples/host/main.ts'
// Starting a database in a new folder takes seconds on a small machine, and this file does it more than once.
interface Running {
  child: ChildProcess
  /** What it wrote so far. */
  output(): string
  errors(): string
  /** Resolves once the output matches; rejects with everything written when the process ends before. */
  until(pattern: RegExp): Promise<RegExpExecArray>
  ended: Promise<{ code: number | null; signal: NodeJS.Signals | null }>
}

/** The script of `npm start` in a process of its own, with a data folder of its own and no settings from outside. */
function run(
  t: Test,
  folder: string,
  { args = [], env = {} }: { args?: string[]; env?: NodeJS.ProcessEnv } = {}
): Running {
  const clean = Object.fromEntries(
    Object.entries(process.env).filter(
      ([name]) => !/^(DATABASE_URL|LEVEL_|MESHCENTRAL_|HOST$|LOG_LEVEL|TAP)/.test(name)
    )
  )
  // The test runner loads itself into every process by NODE_OPTIONS; a newcomer's has no such thing.
  const child = spawn('env', ['-u', 'NODE_OPTIONS', process.execPath, main, ...args], {
    cwd: root,
    env: { ...clean, DATA_FOLDER: folder, PORT: '0', ...env },
    stdio: ['ignore', 'pipe', 'pipe']
  })
  const written = { out: '', err: '' }
  child.stdout!.setEncoding('utf8').on('data', (text: string) => {
    written.out += text
  })
  child.stderr!.setEncoding('utf8').on('data', (text: string) => {
    written.err += text
  })
  let over = false
  const ended = new Promise<{ code: number | null; signal: NodeJS.Signals | null }>(resolve =>
    child.once('close', (code, signal) => {
      over = true
      resolve({ code, signal })
    })
  )
  t.teardown(async () => {
    if (!over) child.kill('SIGKILL')
    await ended
  })
  return {
    child,
    output: () => written.out,
    errors: () => written.err,
    ended,
    async until(pattern) {
      return await until(`${pattern}`, () => {
        const found = pattern.exec(written.out)
        if (found === null && over) throw new Error(`ended before ${pattern}:\n${written.out}\n${written.err}`)
        return found
      })
    }
  }
}

/** A column of numbers as the story prints the totals of its (first) run. */
function totals(output: string): Record<string, number> {
  return Object.fromEntries(
    ['created', 'updated', 'unchanged', 'removed', 'unmapped', 'failed'].map(name => [
      name,
      Number(new RegExp(`^ {2}${name} +(\\d+)$`, 'm').exec(output)?.[1] ?? Number.NaN)
    ])
  )
}

function tokensIn(output: string): Record<string, string> {
  return Object.fromEntries(
    [...output.matchAll(/^ {2}(\w+)@\S+ +(?:admin|technician|viewer) +\S+ +(psa_\S+)$/gm)].map(([, name, token]) => [
      name,
      token
    ])
  )
}

interface Answer {
  status: number
  body: any
}
type Ask = (token: string | undefined, path: string, init?: RequestInit) => Promise<Answer>

function asker(url: string): Ask {
  return async (token, path, init = {}) => {
    const response = await fetch(url + path, {
      ...init,
      headers: { ...init.headers, ...(token === undefined ? {} : { authorization: `Bearer ${token}` }) }
    })
    return { status: response.status, body: await response.json() }
  }
}

t.equal(packageJson.scripts?.start, `node ${main}`, 'npm start runs what this file tests')

t.test('npm start from nothing, and again', async t => {
  const folder = join(t.testdir({}), 'data')
  const first = run(t, folder)
  await first.until(/Stays up until Ctrl-C/)
  const story = first.output()

  await t.test('the first start tells what was created, what stays unmapped, and what failed and why', async t => {
    const { created, unmapped, failed, removed } = totals(story)
    t.ok(created! > 500 && unmapped! > 100, 'most devices become assets, some belong to nobody')
    t.same(
      { failed, removed, all: created! + unmapped! },
      { failed: 3, removed: 0, all: 1000 },
      'nothing is lost between the three'
    )
    t.match(story, /failed +devices .* the device id is longer than 500 characters/)
    t.match(story, /failed +devices .* The record has no usable id/)
    t.match(story, /failed +updates .* The update names no device/)
    t.match(story, /Workshop and loaners +\d+ devices +excluded by hand/)
    t.match(story, /Beacon trial +\d+ devices +not mapped yet/)
    t.match(story, /Northgate Print & Copy +→ Northgate Print and Copy GmbH +suggested/)
    t.match(story, /devices \d{3}\n/, 'progress is told in lines where there is no terminal')
    t.match(story, /linked +Harbour Dental Ltd Devices/)
    t.match(story, /conflict +Juniper Accounting .*more than one group fits/)
    t.equal(first.errors(), '', 'a first start has nothing to warn of')
  })

  await t.test('only the owner of the data folder reads its keys', t => {
    t.equal(statSync(join(folder, 'keys.json')).mode & 0o777, 0o600)
    const { boxKey, levelKey } = JSON.parse(readFileSync(join(folder, 'keys.json'), 'utf8'))
    t.notMatch(story, new RegExp(`${boxKey.replaceAll('+', '\\+')}|${levelKey}`), 'they are not printed')
    t.end()
  })

  const url = /Listening on (\S+)/.exec(story)![1]!
  await checkRoles(t, asker(url), tokensIn(story))

  await t.test('a second process on the same folder is refused', async t => {
    const other = run(t, folder)
    t.same(await other.ended, { code: 1, signal: null })
    t.match(other.output(), new RegExp(`in use by process ${first.child.pid}`))
  })

  await t.test('Ctrl-C closes it cleanly', async t => {
    first.child.kill('SIGINT')
    t.same(await first.ended, { code: 0, signal: null })
    t.notMatch(first.output(), /While closing/)
    t.equal(first.errors(), '')
  })

  await t.test('the second start reports what changed in between', async t => {
    const second = run(t, folder, { args: ['--once'] })
    t.same(await second.ended, { code: 0, signal: null }, '--once ends after the story')
    const output = second.output()
    const { created, updated, removed, unchanged } = totals(output)
    t.match({ created, removed }, { created: 1, removed: 2 })
    t.ok(updated! >= 5 && unchanged! > 600, 'a few changed, the rest was left alone')
    t.match(output, /renamed from/)
    t.match(output, /moved from client c-\w+ to c-\w+/)
    t.match(output, /retired: the device is gone/)
    t.match(output, /11 existing, 1 conflicts/, 'no device group is made twice')
    t.same(tokensIn(output), {}, 'tokens are shown once')
    t.equal(second.errors(), '')
  })
})

async function checkRoles(t: Test, ask: Ask, tokens: Record<string, string>): Promise<void> {
  const { anna, theo, vera, sam } = tokens
  const {
    body: {
      items: [connection]
    }
  } = await ask(vera, '/rmm/connections?provider=levelio')

  await t.test("assets are in the host's table, and devices point at them", async t => {
    const {
      body: { items: devices }
    } = await ask(vera, `/rmm/devices?connectionId=${connection.id}&mapped=true&limit=200`)
    const {
      body: { items: assets }
    } = await ask(vera, '/assets?clientId=c-harbour')
    t.equal(devices.length, 200)
    t.ok(devices.every((device: { assetRef: string | null }) => device.assetRef !== null))
    t.ok(assets.length > 10)
    const { status, body } = await ask(vera, `/rmm/devices/${assets[0].deviceId}`)
    t.match(
      { status, ref: body.assetRef, client: body.clientRef, name: body.displayName },
      { status: 200, ref: assets[0].id, client: 'c-harbour', name: assets[0].name }
    )
  })

  await t.test("roles are enforced, in the host's words and format", async t => {
    const sync = { method: 'POST' }
    const path = `/rmm/connections/${connection.id}/sync`
    t.same(await ask(undefined, '/rmm/connections'), {
      status: 401,
      body: { error: { status: 401, message: 'Send a token: Authorization: Bearer psa_…' } }
    })
    t.equal((await ask('psa_wrong', '/rmm/connections')).status, 401)
    t.same(await ask(vera, path, sync), {
      status: 403,
      body: { error: { status: 403, message: 'A viewer may not do sync:run' } }
    })
    t.equal((await ask(theo, `/rmm/connections/${connection.id}?mode=purge`, { method: 'DELETE' })).status, 403)
    t.equal((await ask(anna, `/rmm/connections/${connection.id}/test`, sync)).status, 200)
    const { status, body } = await ask(theo, path, sync)
    t.equal(status, 202)
    // Ended before the process is, so that the next start finds nothing to resume.
    await until('the run', async () => (await ask(vera, `/rmm/runs/${body.run.id}`)).body.finishedAt !== null)
  })

  await t.test('the other tenant sees nothing of this one', async t => {
    for (const path of ['/rmm/connections', '/rmm/devices', '/rmm/alerts', '/assets'])
      t.same((await ask(sam, path)).body.items, [], path)
    t.match(await ask(sam, `/rmm/connections/${connection.id}`), { status: 404, body: { code: 'RMM_ERR_NOT_FOUND' } })
    t.same(
      (await ask(sam, '/clients')).body.items.map(({ name }: { name: string }) => name),
      ['Lakeside Hotel']
    )
  })

  await t.test('the API is described', async t => {
    const { status, body } = await ask(undefined, '/docs/json')
    t.equal(status, 200)
    t.ok(body.paths['/rmm/connections/{connectionId}/sync'] && body.paths['/assets'])
  })
}

t.test(
  'DATABASE_URL puts it on PostgreSQL',
  { skip: process.env['TEST_DATABASE_URL'] ? false : 'needs TEST_DATABASE_URL' },
  async t => {
    const database = `rmm_example_${randomBytes(5).toString('hex')}`
    const admin = await MikroORM.init({
      driver: PostgreSqlDriver,
      clientUrl: process.env['TEST_DATABASE_URL']!,
      entities: [],
      discovery: { warnWhenNoEntities: false }
    } as never)
    await admin.em.getConnection().execute(`create database ${database}`)
    t.teardown(async () => {
      await admin.em.getConnection().execute(`drop database ${database} with (force)`)
      await admin.close()
    })
    const url = new URL(process.env['TEST_DATABASE_URL']!)
    url.pathname = `/${database}`
    const once = run(t, join(t.testdir({}), 'data'), { args: ['--once'], env: { DATABASE_URL: url.href } })
    t.same(await once.ended, { code: 0, signal: null })
    t.match(once.output(), /PostgreSQL of DATABASE_URL/)
    t.equal(totals(once.output())['failed'], 3)
  }
)

t.test('settings that cannot be meant are refused with the way out', async t => {
  const folder = join(t.testdir({}), 'data')
  const refused = async (options: Parameters<typeof run>[2], message: RegExp) => {
    const started = run(t, folder, options)
    t.same(await started.ended, { code: 1, signal: null })
    t.match(started.output(), message)
  }
  await refused({ args: ['--onec'] }, /unknown argument --onec/)
  await refused({ env: { PORT: 'http' } }, /PORT is http/)
  await refused(
    { env: { MESHCENTRAL_URL: 'https://mesh.example.com' } },
    /needs MESHCENTRAL_USER and MESHCENTRAL_PASSWORD/
  )
})
