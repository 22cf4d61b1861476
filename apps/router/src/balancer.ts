/** What the choice depends on. */
export interface Candidate {
  inFlight: number;
  retired: boolean;
  ejectedUntil: number;
}

export interface PickOptions<T> {
  nowMs: number;
  /** Targets that this request has tried in vain. */
  tried: ReadonlySet<T>;
  /** In [0, 1); Math.random unless told. */
  random?: () => number;
}

/**
 * The better of two random choices by requests in flight: close to least-loaded, without the herd that follows the
 * one least loaded target (Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing", 2001).
 * Ejected targets are passed over as long as another one is left; retired and tried ones always are.
 */
export function pickTarget<T extends Candidate>(
  targets: readonly T[],
  options: PickOptions<T>,
): T | undefined {
  const { nowMs, tried, random = Math.random } = options;
  if (targets.length === 1) {
    const [only] = targets;
    return only && !only.retired && !tried.has(only) ? only : undefined;
  }
  const able = targets.filter((target) => !target.retired && !tried.has(target));
  const healthy = able.filter((target) => target.ejectedUntil <= nowMs);
  return betterOfTwo(healthy.length > 0 ? healthy : able, random);
}

function betterOfTwo<T extends Candidate>(targets: readonly T[], random: () => number): T | undefined {
  if (targets.length < 2) return targets[0];
  const first = Math.floor(random() * targets.length);
  const step = 1 + Math.floor(random() * (targets.length - 1));
  const a = targets[first];
  const b = targets[(first + step) % targets.length];
  if (!a || !b) return a ?? b;
  return b.inFlight < a.inFlight ? b : a;
}
