export { listKernelObjects, teardownKernelObjects } from './kernel/kernel-objects.ts';
export { openEngine } from './open-engine.ts';
export type {
  Container,
  ContainerExit,
  ContainerMount,
  ContainerProfile,
  ContainerSpec,
  ContainerStatus,
  Engine,
  EngineConfig,
  EngineDeps,
  Image,
  ImageConfig,
  KernelObject,
  PullOptions,
} from './types.ts';
