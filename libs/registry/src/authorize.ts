export type RegistryAction = 'pull' | 'push' | 'delete';

/**
 * Decides on one action. `authorization` is the request's header as it came; `repository` is null for the bare
 * `/v2/` check. False is answered with 403 DENIED, `unauthenticated` with 401 and a Basic challenge.
 */
export type Authorize = (request: {
  authorization: string | undefined;
  repository: string | null;
  action: RegistryAction;
}) => Promise<boolean | 'unauthenticated'>;
