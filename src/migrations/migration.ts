/** One step of our schema. `schema` arrives quoted; one SQL statement per entry (PGlite takes no more at once). */
export interface Migration {
  name: string
  statements(schema: string): string[]
}
