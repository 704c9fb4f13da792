import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { timing } from '../scripts/test-steady.ts'

const root = join(import.meta.dirname, '..')

const steady = (...args: string[]) =>
  new Promise<{ code: number; text: string }>(resolve =>
    execFile(process.execPath, ['scripts/test-steady.ts', ...args], { cwd: root }, (error, stdout, stderr) =>
      resolve({ code: Number(error?.code ?? 0), text: stdout + stderr })
    )
  )

const folder = t.testdir({
  'good.test.ts': "import t from 'tap'\nt.pass('fine')\n",
  'bad.test.ts': "import t from 'tap'\nt.equal(process.env.LUCK, 'good', 'needs luck')\n",
  // Nothing is open any more, and the test waits: what a timer without a reference leads to.
  'cut.test.ts': "import t from 'tap'\nt.test('waits', () => new Promise(r => setTimeout(r, 1000).unref()))\n",
  'none.test.ts': "import t from 'tap'\nt.skip('nothing here to test with')\n"
})

t.test('a table tells how often each file ran and failed', async t => {
  const { code, text } = await steady('--alone', '2', '--busy', '1', join(folder, 'good.test.ts'))
  t.match(text, /good\.test\.ts +3 +0 +\d+\.\d s\n3 runs, 0 failures\n$/)
  t.equal(code, 0)
})

t.test('one failed run fails it all, and its output is printed and kept', async t => {
  const names = ['good', 'bad', 'cut'].map(name => join(folder, `${name}.test.ts`))
  const { code, text } = await steady('--alone', '1', '--busy', '0', ...names)
  t.equal(code, 1)
  t.match(text, /FAILED \S+bad\S*-alone-1 \(exit 1\)[\s\S]*needs luck/)
  t.match(text, /FAILED \S+cut\S*-alone-1[\s\S]*unfinished/)
  t.match(text, /3 runs, 2 failures\n$/)
  for (const [, log] of text.matchAll(/all of it: (\S+)/g)) t.ok(existsSync(log!), `${log} is kept`)
})

t.test('what the time limit leaves out and what only skips is named', async t => {
  t.match(
    (await steady('--alone', '3', '--busy', '1', '--limit', '0', join(folder, 'good.test.ts'))).text,
    /0 runs, 0 failures; 4 runs not begun within the limit/
  )
  t.match((await steady('--alone', '1', '--busy', '0', join(folder, 'none.test.ts'))).text, /only skips here/)
  t.match(await steady('no/such.test.ts'), { code: 1, text: /there is no no\/such\.test\.ts/ })
})

t.test('the ten that depend most on time are there', t => {
  const files = Object.keys(timing)
  t.equal(files.length, 10)
  t.strictSame(
    files.filter(file => !existsSync(join(root, file))),
    []
  )
  t.end()
})
