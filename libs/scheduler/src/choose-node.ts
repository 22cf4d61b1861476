/** A worker node as the scheduler sees it. */
export interface NodeFacts {
  id: string;
  ready: boolean;
  memoryBytes: number;
  /** Memory promised to the instances that are placed there. */
  memoryPlacedBytes: number;
  /** Instances of the service being placed that are there already: spreading them survives the loss of a node. */
  peers: number;
}

export interface PlacementRequest {
  memoryBytes: number;
  /** The only node that may take it, when its volumes lie there. */
  pinnedTo: string | null;
}

/**
 * The node that should take one more instance: ready, the pinned one if there is one, with room; among those the one
 * with the fewest peers, then the most free memory, then the lowest id, so that equal facts give equal answers.
 * Memory may be overcommitted by `overcommit`: limits are ceilings, and most apps stay far below theirs.
 */
export function chooseNode(
  nodes: readonly NodeFacts[],
  request: PlacementRequest,
  overcommit = 4,
): { node: string } | { refused: string } {
  const ready = nodes.filter((node) => node.ready);
  if (ready.length === 0) return { refused: 'no worker node is ready' };
  const allowed = request.pinnedTo ? ready.filter((node) => node.id === request.pinnedTo) : ready;
  if (allowed.length === 0) return { refused: 'the node that holds its volume is not ready' };
  const free = (node: NodeFacts) => node.memoryBytes * overcommit - node.memoryPlacedBytes;
  const fitting = allowed.filter((node) => free(node) >= request.memoryBytes);
  const best = [...fitting].sort(
    (a, b) => a.peers - b.peers || free(b) - free(a) || a.id.localeCompare(b.id),
  )[0];
  return best ? { node: best.id } : { refused: 'no worker node has enough free memory' };
}
