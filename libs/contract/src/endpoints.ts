import { z } from 'zod';
import { endpoint } from './endpoint.ts';
import { AppSlug, ConfigName, Id, MountPath, ServiceName, Timestamp, VolumeName } from './names.ts';
import { BuildResult, DesiredState, InstanceLogBatch, ObservedState } from './node-state.ts';
import {
  App,
  Build,
  ConfigMap,
  Deployment,
  Identity,
  Instance,
  LogEntry,
  Node,
  PlatformStatus,
  ProgressEvent,
  Release,
  Token,
  Volume,
} from './resources.ts';
import { RouterReport, RouteTable } from './route-table.ts';

const appParams = z.object({ app: AppSlug });
const numbered = z.object({ app: AppSlug, number: z.coerce.number().int().positive() });
const page = z.object({ limit: z.coerce.number().int().min(1).max(200).default(20) });
const list = <T extends z.ZodType>(item: T) => z.object({ items: z.array(item) });

export const MAX_SCALE = 20;

/** Endpoints for people and their tools: the CLI, the console, CI. */
export const userEndpoints = {
  identity: endpoint({
    name: 'identity.show', method: 'GET', path: '/v1/identity', summary: 'Who this token is',
    audience: 'user', permission: 'read', response: Identity,
  }),
  status: endpoint({
    name: 'platform.status', method: 'GET', path: '/v1/status', summary: 'Health of the platform',
    audience: 'user', permission: 'read', response: PlatformStatus,
  }),
  createApp: endpoint({
    name: 'apps.create', method: 'POST', path: '/v1/apps', summary: 'Create an app',
    audience: 'user', permission: 'configure', body: z.object({ slug: AppSlug }), response: App,
  }),
  listApps: endpoint({
    name: 'apps.list', method: 'GET', path: '/v1/apps', summary: 'List apps',
    audience: 'user', permission: 'read', response: list(App),
  }),
  showApp: endpoint({
    name: 'apps.show', method: 'GET', path: '/v1/apps/:app', summary: 'Show an app',
    audience: 'user', permission: 'read', params: appParams, response: App,
  }),
  destroyApp: endpoint({
    name: 'apps.destroy', method: 'DELETE', path: '/v1/apps/:app', summary: 'Destroy an app, its volumes and its history',
    audience: 'user', permission: 'destroy', params: appParams,
  }),
  listBuilds: endpoint({
    name: 'builds.list', method: 'GET', path: '/v1/apps/:app/builds', summary: 'List builds, newest first',
    audience: 'user', permission: 'read', params: appParams, query: page, response: list(Build),
  }),
  showBuild: endpoint({
    name: 'builds.show', method: 'GET', path: '/v1/apps/:app/builds/:number', summary: 'Show a build',
    audience: 'user', permission: 'read', params: numbered, response: Build,
  }),
  buildLog: endpoint({
    name: 'builds.log', method: 'GET', path: '/v1/apps/:app/builds/:number/log',
    summary: "A build's log from its start; followed until the build ends",
    audience: 'user', permission: 'read', params: numbered, response: ProgressEvent, stream: true,
  }),
  listReleases: endpoint({
    name: 'releases.list', method: 'GET', path: '/v1/apps/:app/releases', summary: 'List releases, newest first',
    audience: 'user', permission: 'read', params: appParams, query: page, response: list(Release),
  }),
  rollback: endpoint({
    name: 'releases.rollback', method: 'POST', path: '/v1/apps/:app/rollback',
    summary: 'Deploy an earlier release again, as a new one; the one before the current unless told',
    audience: 'user', permission: 'deploy', params: appParams,
    body: z.object({ release: z.number().int().positive().optional() }), response: Deployment,
  }),
  createDeployment: endpoint({
    name: 'deployments.create', method: 'POST', path: '/v1/apps/:app/deployments', summary: 'Deploy an image',
    audience: 'user', permission: 'deploy', params: appParams,
    body: z.object({ image: z.string().min(1).max(512) }), response: Deployment,
  }),
  listDeployments: endpoint({
    name: 'deployments.list', method: 'GET', path: '/v1/apps/:app/deployments', summary: 'List deployments, newest first',
    audience: 'user', permission: 'read', params: appParams, query: page, response: list(Deployment),
  }),
  showDeployment: endpoint({
    name: 'deployments.show', method: 'GET', path: '/v1/apps/:app/deployments/:id', summary: 'Show a deployment',
    audience: 'user', permission: 'read', params: z.object({ app: AppSlug, id: Id }), response: Deployment,
  }),
  watchDeployment: endpoint({
    name: 'deployments.watch', method: 'GET', path: '/v1/apps/:app/deployments/:id/events',
    summary: 'What a deployment did from its start; followed until it ends',
    audience: 'user', permission: 'read', params: z.object({ app: AppSlug, id: Id }), response: ProgressEvent, stream: true,
  }),
  listInstances: endpoint({
    name: 'instances.list', method: 'GET', path: '/v1/apps/:app/instances', summary: 'List running instances',
    audience: 'user', permission: 'read', params: appParams, response: list(Instance),
  }),
  scale: endpoint({
    name: 'services.scale', method: 'PATCH', path: '/v1/apps/:app/scale', summary: 'Set how many instances services have',
    audience: 'user', permission: 'deploy', params: appParams,
    body: z.object({ scale: z.record(ServiceName, z.number().int().min(0).max(MAX_SCALE)) }), response: App,
  }),
  showConfig: endpoint({
    name: 'config.show', method: 'GET', path: '/v1/apps/:app/config', summary: "An app's config variables",
    audience: 'user', permission: 'configure', params: appParams, response: ConfigMap,
  }),
  changeConfig: endpoint({
    name: 'config.change', method: 'PATCH', path: '/v1/apps/:app/config',
    summary: 'Set and unset config variables; makes and deploys a new release when one serves',
    audience: 'user', permission: 'configure', params: appParams,
    body: z.object({ set: ConfigMap.default({}), unset: z.array(ConfigName).default([]) }),
    response: z.object({ config: ConfigMap, deployment: Deployment.nullable() }),
  }),
  logs: endpoint({
    name: 'logs.read', method: 'GET', path: '/v1/apps/:app/logs', summary: "An app's log lines, oldest first",
    audience: 'user', permission: 'read', params: appParams,
    query: z.object({
      tail: z.coerce.number().int().min(0).max(10_000).default(100),
      follow: z.stringbool().default(false),
      service: ServiceName.optional(),
      instance: Id.optional(),
      since: Timestamp.optional(),
    }),
    response: LogEntry, stream: true,
  }),
  createVolume: endpoint({
    name: 'volumes.create', method: 'POST', path: '/v1/apps/:app/volumes', summary: 'Give an app a folder that stays',
    audience: 'user', permission: 'configure', params: appParams,
    body: z.object({ name: VolumeName, mountPath: MountPath }),
    response: z.object({ volume: Volume, deployment: Deployment.nullable() }),
  }),
  listVolumes: endpoint({
    name: 'volumes.list', method: 'GET', path: '/v1/apps/:app/volumes', summary: "List an app's volumes",
    audience: 'user', permission: 'read', params: appParams, response: list(Volume),
  }),
  destroyVolume: endpoint({
    name: 'volumes.destroy', method: 'DELETE', path: '/v1/apps/:app/volumes/:name', summary: 'Destroy a volume and its data',
    audience: 'user', permission: 'destroy', params: z.object({ app: AppSlug, name: VolumeName }),
  }),
  createToken: endpoint({
    name: 'tokens.create', method: 'POST', path: '/v1/tokens', summary: 'Make an API token; its secret is shown once',
    audience: 'user', permission: 'configure', body: z.object({ name: z.string().min(1).max(60) }),
    response: Token.extend({ secret: z.string() }),
  }),
  listTokens: endpoint({
    name: 'tokens.list', method: 'GET', path: '/v1/tokens', summary: 'List your API tokens',
    audience: 'user', permission: 'read', response: list(Token),
  }),
  revokeToken: endpoint({
    name: 'tokens.revoke', method: 'DELETE', path: '/v1/tokens/:id', summary: 'Revoke an API token',
    audience: 'user', permission: 'configure', params: z.object({ id: Id }),
  }),
  listNodes: endpoint({
    name: 'nodes.list', method: 'GET', path: '/v1/nodes', summary: 'List worker nodes',
    audience: 'user', permission: 'operate', response: list(Node),
  }),
} as const;

const waitSeconds = z.coerce.number().min(0).max(30).default(25);

/** Endpoints for agents, with a node's own credential. */
export const nodeEndpoints = {
  desiredState: endpoint({
    name: 'node.desired', method: 'GET', path: '/node/v1/desired',
    summary: 'The whole desired state once its version differs from `version`, or null after `waitSeconds`',
    audience: 'node', query: z.object({ version: z.coerce.number().int().default(-1), waitSeconds }),
    response: DesiredState.nullable(),
  }),
  observe: endpoint({
    name: 'node.observed', method: 'PUT', path: '/node/v1/observed', summary: 'The whole observed state',
    audience: 'node', body: ObservedState,
  }),
  instanceLogs: endpoint({
    name: 'node.logs', method: 'POST', path: '/node/v1/logs', summary: 'Log lines of instances, at least once',
    audience: 'node', body: z.object({ batches: z.array(InstanceLogBatch).max(100) }),
  }),
  buildLog: endpoint({
    name: 'node.build-log', method: 'POST', path: '/node/v1/builds/:id/log',
    summary: 'Lines of a build; `offset` is the number of lines sent before, so that a repeat does no harm',
    audience: 'node', params: z.object({ id: Id }),
    body: z.object({ offset: z.number().int().nonnegative(), lines: z.array(z.string().max(8_192)).max(1_000) }),
  }),
  buildResult: endpoint({
    name: 'node.build-result', method: 'PUT', path: '/node/v1/builds/:id/result', summary: 'How a build ended',
    audience: 'node', params: z.object({ id: Id }), body: BuildResult,
  }),
} as const;

/** The source of a build as a tar stream; not JSON, so it stands outside the endpoint table. */
export const buildSourcePath = (id: string): string => `/node/v1/builds/${id}/source`;

/** Endpoints for routers. */
export const routerEndpoints = {
  sync: endpoint({
    name: 'router.sync', method: 'POST', path: '/router/v1/sync',
    summary: 'Reports what the router serves; answers the route table once it differs, or null after `waitSeconds`',
    audience: 'router', query: z.object({ waitSeconds }), body: RouterReport, response: RouteTable.nullable(),
  }),
} as const;

export const endpoints = { ...userEndpoints, ...nodeEndpoints, ...routerEndpoints } as const;
