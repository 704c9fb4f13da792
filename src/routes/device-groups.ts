import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { tenantOf } from './guard.ts'
import type { RouteOptions } from './options.ts'
import { ConnectionParams, errors, Input, tags } from './schemas/atoms.ts'
import {
  AssignRequest,
  ClientParams,
  DeviceGroupEnsuredSchema,
  DeviceGroupStatusSchema,
  DeviceGroupSyncRequest,
  DeviceGroupSyncSchema,
  ImportRequest,
  InstallLinkSchema
} from './schemas/device-groups.ts'
import { LinkSchema } from './schemas/inventory.ts'

export const deviceGroupRoutes: FastifyPluginAsyncTypebox<RouteOptions> = async (app, { rmm: { deviceGroups } }) => {
  app.post(
    '/connections/:connectionId/device-groups/sync-all',
    {
      config: { rmmAction: 'device-group:write' },
      schema: {
        operationId: 'rmmSyncDeviceGroups',
        summary: 'Give every client its group on the platform',
        tags,
        params: ConnectionParams,
        querystring: Input({}),
        body: DeviceGroupSyncRequest,
        response: { 200: DeviceGroupSyncSchema, ...errors(404, 409, 413, 415, 422, 502, 503) }
      }
    },
    request => deviceGroups.syncAll(tenantOf(request), request.params.connectionId, request.body)
  )

  app.post(
    '/connections/:connectionId/device-groups/ensure/:clientRef',
    {
      config: { rmmAction: 'device-group:write' },
      schema: {
        operationId: 'rmmEnsureDeviceGroup',
        summary: 'Give one client its group on the platform',
        tags,
        params: ClientParams,
        querystring: Input({}),
        response: { 200: DeviceGroupEnsuredSchema, ...errors(404, 409, 415, 422, 502, 503) }
      }
    },
    request => deviceGroups.ensure(tenantOf(request), request.params.connectionId, request.params.clientRef)
  )

  app.put(
    '/connections/:connectionId/device-groups/:clientRef',
    {
      config: { rmmAction: 'device-group:write' },
      schema: {
        operationId: 'rmmAssignDeviceGroup',
        summary: "A person's word that this group is this client's",
        tags,
        params: ClientParams,
        querystring: Input({}),
        body: AssignRequest,
        response: { 200: DeviceGroupSyncSchema, ...errors(404, 409, 413, 415, 422, 502, 503) }
      }
    },
    request => {
      const { connectionId, clientRef } = request.params
      const { groupId, dryRun } = request.body
      return deviceGroups.assign(tenantOf(request), connectionId, [{ clientRef, groupId }], { dryRun: dryRun === true })
    }
  )

  app.post(
    '/connections/:connectionId/device-groups/import',
    {
      config: { rmmAction: 'device-group:write' },
      schema: {
        operationId: 'rmmImportDeviceGroups',
        summary: 'The same for many clients, all or none',
        tags,
        params: ConnectionParams,
        querystring: Input({}),
        body: ImportRequest,
        response: { 200: DeviceGroupSyncSchema, ...errors(404, 409, 413, 415, 422, 502, 503) }
      }
    },
    request =>
      deviceGroups.assign(tenantOf(request), request.params.connectionId, request.body.links, {
        dryRun: request.body.dryRun === true
      })
  )

  app.post(
    '/connections/:connectionId/device-groups/:clientRef/accept-name',
    {
      config: { rmmAction: 'device-group:write' },
      schema: {
        operationId: 'rmmAcceptDeviceGroupName',
        summary: "The group's name on the platform is right",
        tags,
        params: ClientParams,
        querystring: Input({}),
        response: { 200: DeviceGroupEnsuredSchema, ...errors(404, 409, 415, 422, 502, 503) }
      }
    },
    request => deviceGroups.acceptName(tenantOf(request), request.params.connectionId, request.params.clientRef)
  )

  app.get(
    '/connections/:connectionId/device-groups/status',
    {
      config: { rmmAction: 'device-group:read' },
      schema: {
        operationId: 'rmmGetDeviceGroupStatus',
        summary: 'Which clients have their group, and what drifted',
        tags,
        params: ConnectionParams,
        querystring: Input({}),
        response: { 200: DeviceGroupStatusSchema, ...errors(404, 409) }
      }
    },
    request => deviceGroups.status(tenantOf(request), request.params.connectionId)
  )

  app.post(
    '/connections/:connectionId/device-groups/:clientRef/install-link',
    {
      config: { rmmAction: 'device-group:write' },
      schema: {
        operationId: 'rmmCreateInstallLink',
        summary: "A short-lived link that installs the agent into a client's group",
        tags,
        params: ClientParams,
        querystring: Input({}),
        body: InstallLinkSchema,
        response: { 201: LinkSchema, ...errors(404, 409, 413, 415, 422, 502, 503) }
      }
    },
    async (request, reply) => {
      reply.code(201)
      return deviceGroups.installLink(
        tenantOf(request),
        request.params.connectionId,
        request.params.clientRef,
        request.body
      )
    }
  )
}
