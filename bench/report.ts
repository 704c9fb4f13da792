export interface Row {
  bench: string
  database: string
  /** Ratio, or the figure itself where the goal is one. */
  value: number
  spread: [number, number]
  goal: string
  reached: boolean
  note: string
}

export function median(values: number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.floor(sorted.length / 2)]!
}

/** One row of the report: the median of the rounds, and how far they lay apart. */
export function row(
  bench: string,
  database: string,
  values: number[],
  goal: { least?: number; most?: number },
  note: string
): Row {
  const value = median(values)
  const reached = (goal.least === undefined || value >= goal.least) && (goal.most === undefined || value <= goal.most)
  const wanted = goal.least !== undefined ? `≥ ${goal.least}` : goal.most !== undefined ? `≤ ${goal.most}` : ''
  return { bench, database, value, spread: [Math.min(...values), Math.max(...values)], goal: wanted, reached, note }
}

export function print(rows: Row[]): void {
  for (const { bench, database, value, spread, goal, reached, note } of rows) {
    const figure = (number: number): string =>
      number >= 100 ? number.toFixed(0) : number >= 10 ? number.toFixed(1) : number.toFixed(3)
    console.log(
      `${reached ? 'ok  ' : 'MISS'} ${bench.padEnd(58)} ${database.padEnd(11)} ${figure(value).padStart(8)}  (${figure(spread[0])}–${figure(spread[1])})  goal ${goal.padEnd(8)} ${note}`
    )
  }
}
