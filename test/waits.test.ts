import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import t from 'tap'

const root = new URL('../', import.meta.url)

/** What a process prints that has nothing open but its wait; 'cut off' when it ended in the middle of it. */
async function alone(script: string): Promise<string> {
  const code = `const { withTimeLimit, waitAtMost } = await import('./src/waits.ts')\n${script}`
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', code], {
    cwd: root
  }).catch(error => (error.code === 13 ? { stdout: 'cut off' } : Promise.reject(error)))
  return stdout.trim()
}

const obeys = '(_resolve, reject) => signal.addEventListener("abort", () => reject(signal.reason))'

t.test('a process with nothing else open stays for a wait with a limit', async t => {
  t.equal(
    await alone(`await withTimeLimit(20, [], signal => new Promise(${obeys})).catch(({ name }) => console.log(name))`),
    'TimeoutError'
  )
  t.equal(await alone(`await waitAtMost(20, new Promise(() => {})); console.log('went on')`), 'went on')
  t.equal(await alone('await new Promise(() => {})'), 'cut off', 'as it would be otherwise')
})

t.test('a wait that is over holds nothing', async t => {
  t.equal(
    await alone(`
      await withTimeLimit(1e9, [], async () => {})
      await withTimeLimit(1e9, [], async () => { throw 1 }).catch(() => {})
      await waitAtMost(1e9, Promise.resolve())
      await waitAtMost(1e9, Promise.reject(1)).catch(() => {})
      await waitAtMost(1e9, undefined)
      console.log(process.getActiveResourcesInfo().filter(name => name === 'Timeout').length)`),
    '0'
  )
})

t.test('a time limit passes on what ends the work before it', async t => {
  const { withTimeLimit } = await import('../src/waits.ts')
  const stop = new AbortController()
  const work = withTimeLimit(1e9, [new AbortController().signal, stop.signal], async signal => {
    stop.abort(new Error('stopped'))
    signal.throwIfAborted()
  })
  await t.rejects(work, { message: 'stopped' })
})
