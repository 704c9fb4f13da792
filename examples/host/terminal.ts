import type { Run } from '../../src/index.ts'

const { stdout } = process
const plain = !stdout.isTTY || process.env['NO_COLOR'] !== undefined
const paint = (code: number) => (text: string) => (plain ? text : `\x1b[${code}m${text}\x1b[0m`)

export const bold = paint(1)
export const dim = paint(2)
export const green = paint(32)
export const yellow = paint(33)

export function say(text = ''): void {
  stdout.write(`${text}\n`)
}

/** Names and ids are a platform's and may hold anything: a terminal must not act on them. */
const readable = (cell: string) => cell.replace(/\p{Cc}/gu, '?')

/** Rows under each other, columns as wide as their widest cell; a long cell is cut, but for the last one. */
export function table(rows: string[][], widest = 46): void {
  const cut = (cell: string) => (cell.length > widest ? `${cell.slice(0, widest - 1)}…` : cell)
  const cells = rows.map(row =>
    row.map((cell, column) => (column === row.length - 1 ? readable(cell) : cut(readable(cell))))
  )
  const widths = (cells[0] ?? []).map((_, column) => Math.max(...cells.map(row => (row[column] ?? '').length)))
  for (const row of cells)
    say(
      `  ${row.map((cell, column) => (column === row.length - 1 ? cell : cell.padEnd(widths[column]!))).join('  ')}`.trimEnd()
    )
}

/** What a watched run has done so far, against what is expected of its devices. */
export function describe({ progress }: Run): string {
  return (
    progress
      .filter(item => item.pages > 0)
      .map(item => `${item.resource} ${item.processed}${item.complete ? ' ✓' : ''}`)
      .join('  ') || 'starting'
  )
}

/** What fits beside a bar: the resource being read and the one before. */
const latest = (run: Run) => describe(run).split('  ').slice(-2).join('  ')

/**
 * Draws a run until it ends and returns its final state: a bar in a terminal, a line per step anywhere else.
 * `expected` is a guess of the number of devices, as platforms do not tell it beforehand.
 */
export async function draw(runs: AsyncIterable<Run>, expected: number): Promise<Run | undefined> {
  let last: Run | undefined
  for await (const run of runs) {
    last = run
    if (!stdout.isTTY) say(`  ${describe(run)}`)
    else
      stdout.write(
        `\r\x1b[2K  ${bar(share(run, expected))} ${latest(run).slice(0, Math.max(20, (stdout.columns || 80) - 32))}`
      )
  }
  if (stdout.isTTY) say()
  return last
}

/** Devices are most of the work and count as all of it; the bar is full only when the run has ended. */
function share({ progress, status }: Run, expected: number): number {
  const devices = progress.find(item => item.resource === 'devices')?.processed ?? 0
  return status === 'succeeded' ? 1 : Math.min(0.99, devices / Math.max(1, expected))
}

function bar(part: number): string {
  const width = 24
  const full = Math.round(part * width)
  return `${green('█'.repeat(full))}${dim('░'.repeat(width - full))}`
}
