import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { gzipSync } from 'node:zlib'

/**
 * The files of the settings page, by name. The element needs only the first; the style sheet belongs to the mounted
 * page.
 */
export type UiFiles = Record<'rmm-settings.js' | 'page.css', Uint8Array>

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url))
const notice =
  '/*! fastify-rmm-sync settings page. Contains Preact, Copyright (c) 2015-present Jason Miller, MIT licence */'

/**
 * Bundles the settings page in memory, in some tens of milliseconds: what a checkout without a build serves, and what
 * the package ships. Throws where esbuild, a development dependency, is not installed.
 */
export async function buildUi(): Promise<UiFiles> {
  const { build, transform } = await import('esbuild')
  const minify = async (path: string) =>
    (await transform(await readFile(path, 'utf8'), { loader: 'css', minify: true })).code
  const { outputFiles } = await build({
    entryPoints: [here('element.tsx')],
    bundle: true,
    write: false,
    minify: true,
    format: 'esm',
    target: 'es2022',
    charset: 'utf8',
    jsx: 'automatic',
    jsxImportSource: 'preact',
    tsconfigRaw: {},
    banner: { js: notice },
    plugins: [
      {
        name: 'style sheets as text',
        setup: ({ onLoad }) =>
          onLoad({ filter: /\.css$/ }, async ({ path }) => ({ contents: await minify(path), loader: 'text' }))
      }
    ]
  })
  return { 'rmm-settings.js': outputFiles[0]!.contents, 'page.css': Buffer.from(await minify(here('page.css'))) }
}

/** Bytes of a file as they are, and as they travel. */
export const sizesOf = (content: Uint8Array) => ({ bytes: content.byteLength, gzip: gzipSync(content).byteLength })

/** `node src/ui/build.ts [folder]`: writes the files, by default to `dist/ui`, and prints their sizes. */
async function main(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true })
  for (const [name, content] of Object.entries(await buildUi())) {
    await writeFile(`${folder}/${name}`, content)
    const { bytes, gzip } = sizesOf(content)
    console.log(`${folder}/${name}  ${(bytes / 1024).toFixed(1)} kB, ${(gzip / 1024).toFixed(1)} kB gzip`)
  }
}

if (import.meta.main) await main(process.argv[2] ?? here('../../dist/ui'))
