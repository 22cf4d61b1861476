export interface Line {
  at: Date;
  stream: string;
  text: string;
}

/**
 * The lines of `incoming` that are not in `stored`, both of one instance. Agents send at least once: a batch whose
 * answer was lost comes again, perhaps longer. Each stored line accounts for one equal line (time to the millisecond,
 * stream, text), so that a line that an app really printed twice is kept twice.
 */
export function withoutDuplicates<L extends Line>(incoming: readonly L[], stored: readonly Line[]): L[] {
  const counts = new Map<string, number>();
  for (const line of stored) counts.set(key(line), (counts.get(key(line)) ?? 0) + 1);
  return incoming.filter((line) => {
    const left = counts.get(key(line)) ?? 0;
    if (left > 0) counts.set(key(line), left - 1);
    return left === 0;
  });
}

function key({ at, stream, text }: Line): string {
  return `${at.getTime()} ${stream} ${text}`;
}
