/** The source of one build as a tar, unpacked size. */
export const MAX_SOURCE_BYTES = 512 * 1024 * 1024;

/** Lines kept of a build's log; one more says that the rest was cut. */
export const MAX_LOG_LINES = 20_000;

/** What an agent is told (DesiredBuild.timeoutSeconds). */
export const BUILD_TIMEOUT_SECONDS = 15 * 60;

/** Beyond the agent's own limit, so that its report of a timeout, which knows the stage, normally comes first. */
export const BUILD_TIMEOUT_GRACE_MS = 30_000;

/** A build that finds no ready node for this long fails. */
export const NODE_WAIT_LIMIT_MS = 5 * 60_000;

/** Builds of all apps that run at once; of one app it is always one. */
export const MAX_CONCURRENT_BUILDS = 4;

/** Of those so many of one organization's apps: its further builds wait, however long the others take. */
export const MAX_BUILDS_PER_ORGANIZATION = 3;

/** Characters kept of the error of a failed build. */
export const MAX_ERROR_LENGTH = 4_000;
