// Which test files run on both databases: `node .ci/suites.mjs` prints those that depend on the database, one per
// line. The others would tell the same twice; they run once, with the suite on PostgreSQL. `npm test` runs everything.
import { globSync } from 'node:fs'
import { pathToFileURL } from 'node:url'

/** Path (a file, or a folder with a slash at its end) and why the database makes no difference to it. */
export const once = {
  'test/e2e/': 'the real MeshCentral',
  'test/examples/': 'the example host brings a database of its own',
  'test/ui/': 'the page in a browser',
  'test/providers/contract.test.ts': 'providers know no database',
  'test/providers/level-client.test.ts': 'providers know no database',
  'test/providers/level-map.test.ts': 'providers know no database',
  'test/providers/level-webhook.test.ts': 'providers know no database',
  'test/providers/mesh-large-frame.test.ts': 'providers know no database',
  'test/providers/meshcentral-inventory.test.ts': 'providers know no database',
  'test/providers/meshcentral.test.ts': 'providers know no database',
  'test/testing/': 'the fake platforms and the contract',
  'test/services/egress/': 'the network',
  'test/services/model/': 'pure rules',
  'test/services/ticker.test.ts': 'clocks',
  'test/routes/answers.test.ts': 'a stub in the place of the services',
  'test/routes/events.test.ts': 'a stub in the place of the services',
  'test/routes/hosts.test.ts': 'a stub in the place of the services',
  'test/routes/http.test.ts': 'a stub in the place of the services',
  'test/routes/types.test.ts': 'types',
  'test/transports/resolve.test.ts': 'names and options',
  'test/transports/temporal.test.ts': 'the workflows alone',
  'test/layers.test.ts': 'the source text',
  'test/package.test.ts': 'the tarball, with a database of its own',
  'test/readme.test.ts': 'the documents',
  'test/testing-a-host.test.ts': 'the documents',
  'test/steady.test.ts': 'the tools of this house',
  'test/tally.test.ts': 'the tools of this house',
  'test/waits.test.ts': 'clocks'
}

export const files = () => globSync('test/**/*.test.ts').sort()
const isOnce = file => Object.keys(once).some(path => (path.endsWith('/') ? file.startsWith(path) : file === path))
export const onBoth = () => files().filter(file => !isOnce(file))

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) console.log(onBoth().join('\n'))
