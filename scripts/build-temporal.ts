import { writeFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { bundleWorkflowCode } from '@temporalio/worker'

// Bundles the compiled workflows, so that a host's worker starts without a webpack of its own. Run after tsc; `dist`
// is where it left them.
const folder = new URL('../dist/transports/temporal/', import.meta.url)
const { code } = await bundleWorkflowCode({ workflowsPath: fileURLToPath(new URL('workflows.js', folder)) })
const target = fileURLToPath(new URL('workflow-bundle.js', folder))
await writeFile(target, code)
process.stdout.write(`${target}: ${Math.round(code.length / 1024)} kB\n`)
