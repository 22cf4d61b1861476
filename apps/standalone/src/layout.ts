import path from 'node:path';

/** Where everything of one platform lies; the folder table is in docs/decisions/0001. */
export interface Layout {
  dataDir: string;
  installationFile: string;
  secretsFile: string;
  adminFile: string;
  runDir: string;
  /** Held (flock) by the one `up`, or a `down` that cleans up after a killed one. */
  lockFile: string;
  /** Status and down of the running `up`. */
  controlSocket: string;
  dockerSocket: string;
  /** One file per child: who it is, so that what a killed `up` left can be found. */
  pidsDir: string;
  compileCacheDir: string;
  logsDir: string;
  postgresDir: string;
  postgresSocketDir: string;
  redisDir: string;
  redisSocketDir: string;
  redisSocket: string;
  routerDir: string;
  routerStateFile: string;
}

export function layoutOf(dataDir: string): Layout {
  const at = (...parts: string[]) => path.join(dataDir, ...parts);
  return {
    dataDir,
    installationFile: at('installation.json'),
    secretsFile: at('secrets.json'),
    adminFile: at('admin.json'),
    runDir: at('run'),
    lockFile: at('run', 'up.lock'),
    controlSocket: at('run', 'up.sock'),
    dockerSocket: at('run', 'docker.sock'),
    pidsDir: at('run', 'pids'),
    compileCacheDir: at('run', 'compile-cache'),
    logsDir: at('logs'),
    postgresDir: at('postgres'),
    postgresSocketDir: at('run', 'postgres'),
    redisDir: at('redis'),
    redisSocketDir: at('run', 'redis'),
    redisSocket: at('run', 'redis', 'redis.sock'),
    routerDir: at('router'),
    routerStateFile: at('router', 'routes.json'),
  };
}

/** The longest path of a socket that `layoutOf(dataDir)` makes; the kernel takes at most 107 bytes (unix(7)). */
export function longestSocketPath(layout: Layout): string {
  return path.join(layout.postgresSocketDir, '.s.PGSQL.5432');
}
