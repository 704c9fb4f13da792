import assert from 'node:assert/strict'
import { type Session, type Subject, withSession } from './session.ts'
import type { ContractCase } from './world.ts'

/** The sections of docs/writing-a-provider.md that rules are written in. */
export type Section = 'reading-a-resource' | 'failing' | 'webhooks' | 'actions' | 'device-groups' | 'pushes' | 'secrets'

const guide = 'docs/writing-a-provider.md'

export interface Maker {
  (name: string, use: (session: Session) => Promise<void>): ContractCase
  /** A case that cannot be played, with the reason. */
  skip(name: string, reason: string): ContractCase
}

/** Makes the cases of one section: what they throw says where the rule is written. */
export function casesOf(subject: Subject, section: Section, prefix = ''): Maker {
  const rule = `${guide}#${section}`
  const full = (name: string) => (prefix === '' ? name : `${prefix}: ${name}`)
  const make: Maker = (name, use) => ({
    name: full(name),
    rule,
    run: () => told(rule, () => withSession(subject, use))
  })
  make.skip = (name, reason) => ({ name: full(name), rule, skip: reason, run: async () => {} })
  return make
}

/** Adds where the rule is written to what a case says. */
export async function told(rule: string, run: () => Promise<void>): Promise<void> {
  try {
    await run()
  } catch (error) {
    if (!(error instanceof assert.AssertionError)) throw error
    const [sentence = ''] = error.message.split('\n')
    const { actual, expected } = error
    // Given to the constructor, they would be told in the message.
    throw Object.assign(new assert.AssertionError({ message: `${sentence} (see ${rule})` }), {
      actual,
      expected,
      cause: error
    })
  }
}
