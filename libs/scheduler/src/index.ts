export { chooseNode, type NodeFacts, type PlacementRequest } from './choose-node.ts';
export {
  type AppFacts,
  type AppPlan,
  type AppStep,
  DRAIN_LIMIT_MS,
  type InstanceFacts,
  planApp,
} from './plan-app.ts';
