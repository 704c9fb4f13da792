import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { tenantOf } from './guard.ts'
import type { RouteOptions } from './options.ts'
import { ConnectionParams, errors, Input, ListOf, ref, tags } from './schemas/atoms.ts'
import {
  ClientQuery,
  ClientSchema,
  MappedSchema,
  MappingChangeSchema,
  MappingsSchema,
  MovedMappingsSchema,
  MoveMappingsSchema,
  OrganizationParams,
  OrganizationSchema,
  CountedQuerySchema,
  PageQuerySchema,
  SuggestionSchema
} from './schemas/organizations.ts'

export const organizationRoutes: FastifyPluginAsyncTypebox<RouteOptions> = async (app, { rmm: { organizations } }) => {
  app.get(
    '/connections/:connectionId/organizations',
    {
      config: { rmmAction: 'mapping:read' },
      schema: {
        operationId: 'rmmListOrganizations',
        summary: "The platform's organizations and what they are mapped to, ordered by path",
        tags,
        params: ConnectionParams,
        querystring: CountedQuerySchema,
        response: { 200: ListOf(ref(OrganizationSchema), 'Organizations'), ...errors(404) }
      }
    },
    request => organizations.list(tenantOf(request), request.params.connectionId, request.query)
  )

  app.patch(
    '/connections/:connectionId/organizations/:organizationId',
    {
      config: { rmmAction: 'mapping:write' },
      schema: {
        operationId: 'rmmUpdateOrganization',
        summary: 'Map one organization; its devices follow at once',
        tags,
        params: OrganizationParams,
        querystring: Input({}),
        body: MappingChangeSchema,
        response: { 200: ref(OrganizationSchema), ...errors(404, 409, 413, 415, 422) }
      }
    },
    request => {
      const { connectionId, organizationId } = request.params
      return organizations.update(tenantOf(request), connectionId, organizationId, request.body)
    }
  )

  app.put(
    '/connections/:connectionId/mappings',
    {
      config: { rmmAction: 'mapping:write' },
      schema: {
        operationId: 'rmmMapOrganizations',
        summary: 'Map several organizations, all or none',
        tags,
        params: ConnectionParams,
        querystring: Input({}),
        body: MappingsSchema,
        response: { 200: MappedSchema, ...errors(404, 409, 413, 415, 422) }
      }
    },
    request => organizations.map(tenantOf(request), request.params.connectionId, request.body.mappings)
  )

  app.put(
    '/connections/:connectionId/mappings/move',
    {
      config: { rmmAction: 'mapping:write' },
      schema: {
        operationId: 'rmmMoveMappings',
        summary: "Everything of one client becomes another's: clients that were merged",
        tags,
        params: ConnectionParams,
        querystring: Input({}),
        body: MoveMappingsSchema,
        response: { 200: MovedMappingsSchema, ...errors(404, 409, 413, 415, 422) }
      }
    },
    request => organizations.move(tenantOf(request), request.params.connectionId, request.body)
  )

  app.get(
    '/connections/:connectionId/organizations/suggestions',
    {
      config: { rmmAction: 'mapping:read' },
      schema: {
        operationId: 'rmmSuggestMappings',
        summary: 'Clients that unmapped organizations could belong to; nothing is applied',
        tags,
        params: ConnectionParams,
        querystring: PageQuerySchema,
        response: { 200: ListOf(ref(SuggestionSchema), 'Proposals'), ...errors(404) }
      }
    },
    request => organizations.suggestions(tenantOf(request), request.params.connectionId, request.query)
  )

  app.get(
    '/clients',
    {
      config: { rmmAction: 'mapping:read' },
      schema: {
        operationId: 'rmmListClients',
        summary: "The host's clients, for pickers",
        tags,
        querystring: ClientQuery,
        response: { 200: ListOf(ref(ClientSchema), 'Clients'), ...errors() }
      }
    },
    request => organizations.clients(tenantOf(request), request.query)
  )
}
