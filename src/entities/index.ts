import type { EntitySchema } from '@mikro-orm/core'
export const rmmEntities: readonly EntitySchema[] = []
