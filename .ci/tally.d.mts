export interface Counts {
  passed: number
  failed: number
  skipped: number
  failures: Array<{ line: string; details: string[] }>
  /** Why something was skipped, and how often. */
  reasons: Map<string, number>
}
export function tally(text: string): Counts
export function sentence(counts: Pick<Counts, 'passed' | 'failed' | 'skipped'>): string
