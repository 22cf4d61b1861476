/** The agent's version as it reports it; the same as in package.json (a nested import of that file would land in dist). */
export const AGENT_VERSION = '0.1.0';
