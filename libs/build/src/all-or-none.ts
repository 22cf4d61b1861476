/**
 * Runs every task; when one fails the others are aborted and waited for, and its error is thrown. So nothing is still
 * at work behind the caller's back when this returns.
 */
export async function allOrNone<const T extends readonly ((signal: AbortSignal) => Promise<unknown>)[]>(
  outer: AbortSignal | undefined,
  tasks: T,
): Promise<{ [K in keyof T]: Awaited<ReturnType<T[K]>> }> {
  const stop = new AbortController();
  const signal = outer ? AbortSignal.any([outer, stop.signal]) : stop.signal;
  const failures: unknown[] = [];
  const results = await Promise.all(
    tasks.map(async (task) => {
      try {
        signal.throwIfAborted();
        return await task(signal);
      } catch (error) {
        failures.push(error);
        stop.abort(error);
        return undefined;
      }
    }),
  );
  outer?.throwIfAborted();
  if (failures.length > 0) throw failures[0];
  return results as { [K in keyof T]: Awaited<ReturnType<T[K]>> };
}
