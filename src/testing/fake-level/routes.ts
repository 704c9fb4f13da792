import type { Route } from './route.ts'
import { inventoryRoutes } from './routes-inventory.ts'
import { settingsRoutes } from './routes-settings.ts'

const routes: Route[] = [...inventoryRoutes, ...settingsRoutes]

/** The route of a request with its path parameter decoded; undefined = the API has no such path. */
export function findRoute(method: string, path: string): { route: Route; id: string } | undefined {
  for (const candidate of routes) {
    const match = candidate.method === method ? candidate.pattern.exec(path) : null
    if (!match) continue
    try {
      return { route: candidate, id: decodeURIComponent(match[1] ?? '') }
    } catch {
      return undefined
    }
  }
  return undefined
}
