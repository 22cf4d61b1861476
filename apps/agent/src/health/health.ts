export type HealthStatus = 'starting' | 'healthy' | 'unhealthy';

/** What the health check of one running container has found. */
export interface Health {
  status: HealthStatus;
  /** Since when, in milliseconds since the epoch. */
  sinceMs: number;
  /** Set when the process did not become healthy in time: why, as a line for the app's log. */
  startFailure: string | null;
}
