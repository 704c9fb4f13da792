import { execFile } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { blocksOf, root } from './docs.ts'

const { exports } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
  exports: Record<string, { default: string }>
}
t.setTimeout(240_000)

t.test('the file of docs/testing-a-host.md compiles, and its tests pass', async t => {
  const folder = t.testdir()
  const written = blocksOf('docs/testing-a-host.md', 'ts').join('\n')
  // As a host has it, but for the package: that is this checkout, not a build of it.
  const code = written.replace(/'fastify-rmm-sync([^']*)'/g, (_, entry: string) => {
    const source = exports[`.${entry}`]!.default.replace('./dist/', 'src/').replace(/\.js$/, '.ts')
    return `'${relative(folder, join(root, source))}'`
  })
  const file = join(folder, 'host.test.ts')
  writeFileSync(file, code)
  writeFileSync(
    join(folder, 'tsconfig.json'),
    JSON.stringify({
      extends: join(root, 'tsconfig.json'),
      compilerOptions: { typeRoots: [join(root, 'node_modules/@types')], allowImportingTsExtensions: true },
      include: ['*.ts'],
      exclude: []
    })
  )
  // Neither the compiler nor the inner runner starts with what tap loads into every process.
  const run = async (...args: string[]) =>
    await promisify(execFile)('env', ['-u', 'NODE_OPTIONS', '-u', 'NODE_TEST_CONTEXT', ...args], { cwd: folder }).catch(
      (error: { stdout: string }) => error
    )
  const compiled = await run(join(root, 'node_modules/.bin/tsc'), '-p', folder, '--pretty', 'false')
  t.equal(compiled.stdout, '')

  const { stdout } = await run(process.execPath, '--test', '--test-reporter=tap', file)
  const count = (what: string) => Number(new RegExp(`^# ${what} (\\d+)$`, 'm').exec(stdout)?.[1])
  t.equal(count('pass'), written.split("\ntest('").length - 1, 'as many as there are')
  t.equal(count('fail'), 0, 'none fails')
  if (count('fail') !== 0) t.comment(stdout)
})
