export { type CallOptions, Client, type ClientOptions } from './client.ts';
export {
  type Audience,
  type EndpointDefinition,
  type EndpointInput,
  type EndpointRequest,
  type EndpointResponse,
  endpoint,
  type Permission,
} from './endpoint.ts';
export {
  buildSourcePath,
  endpoints,
  MAX_SCALE,
  nodeEndpoints,
  routerEndpoints,
  userEndpoints,
} from './endpoints.ts';
export { AppSlug, ConfigName, Digest, Id, MountPath, ServiceName, Timestamp, VolumeName } from './names.ts';
export {
  BuildResult,
  DesiredBuild,
  DesiredInstance,
  DesiredState,
  HealthCheck,
  InstanceLogBatch,
  ObservedInstance,
  ObservedState,
  Resources,
} from './node-state.ts';
export {
  App,
  Build,
  BuildStatus,
  ConfigMap,
  Deployment,
  DeploymentStatus,
  Exit,
  Identity,
  Instance,
  InstanceState,
  LogEntry,
  Node,
  PlatformStatus,
  Problem,
  ProgressEvent,
  Release,
  Role,
  ServiceDefinition,
  Token,
  Volume,
} from './resources.ts';
export { Route, RouterReport, RouteTable, RouteTarget } from './route-table.ts';
export { VERSION } from './version.ts';
