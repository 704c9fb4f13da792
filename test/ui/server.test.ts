import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import t from 'tap'
import { buildUi } from '../../src/ui/build.ts'

t.test(
  'where there is no document, as when pages are rendered on a server, importing the element does nothing',
  async t => {
    t.equal('document' in globalThis || 'HTMLElement' in globalThis, false, 'this is no browser')
    const { 'rmm-settings.js': script } = await buildUi()
    const file = join(t.testdir(), 'rmm-settings.mjs')
    writeFileSync(file, script)
    await import(pathToFileURL(file).href)
  }
)
