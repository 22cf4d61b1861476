import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { AppSlug, type Permission } from '#libs/contract';
import { HTTP_STATUS, PlatformError, toPlatformError } from '#libs/errors';
import { DiskReserve } from '#libs/host';
import type { Logger } from '#libs/log';
import { AppsRepository } from '../apps/apps.repository.ts';
import type { UserActor } from '../auth/actor.ts';
import { AuthenticationService } from '../auth/authentication.service.ts';
import { assertAllowed } from '../auth/authorize.ts';
import type { GitProcesses } from './git-processes.ts';
import type { GitRepositories } from './git-repositories.ts';
import type { GitRepository } from './git-repository.ts';
import type { GitLimits } from './limits.ts';
import { FLUSH, packet } from './pkt-line.ts';
import type { PushHookServer } from './push-hook.server.ts';
import { HOOK_ENV } from './push-protocol.ts';
import type { PushedApp, PushSessions } from './push-sessions.ts';
import { bodyStages, pushHead } from './request-body.ts';

export interface GitDeps {
  authentication: AuthenticationService;
  apps: AppsRepository;
  repositories: GitRepositories;
  processes: GitProcesses;
  sessions: PushSessions;
  hookServer: PushHookServer;
  limits: GitLimits;
  log: Logger;
}

type ServiceName = 'git-receive-pack' | 'git-upload-pack';

const PERMISSION: Record<ServiceName, Permission> = {
  'git-receive-pack': 'deploy',
  'git-upload-pack': 'read',
};

interface GitRequest {
  service: ServiceName;
  app: PushedApp;
  actor: UserActor;
  repository: GitRepository;
  request: FastifyRequest;
  reply: FastifyReply;
}

/**
 * Git's smart HTTP protocol (gitprotocol-http(5)) at `/git/<slug>.git/`. The dumb protocol is refused. Bodies are
 * streamed; git itself speaks the protocol, and its proc-receive hook calls the control plane back.
 */
export function registerGit(fastify: FastifyInstance, deps: GitDeps): void {
  const git = new GitHttp(deps);
  fastify.register(async (scope) => {
    scope.removeAllContentTypeParsers();
    scope.addContentTypeParser('*', (_request, _payload, done) => done(null)); // handlers take the raw stream
    const advertise = git.handler(requestedService, (request) => git.advertise(request));
    scope.get('/git/:repository/info/refs', { exposeHeadRoute: false }, advertise);
    scope.post(
      '/git/:repository/git-upload-pack',
      git.handler(postedService('git-upload-pack'), (request) => git.fetch(request)),
    );
    scope.post(
      '/git/:repository/git-receive-pack',
      git.handler(postedService('git-receive-pack'), (request) => git.push(request)),
    );
    scope.all(
      '/git/*',
      git.handler(refuseDumb, () => Promise.resolve()),
    );
  });
}

class GitHttp {
  /** Organizations of the fetches under way. */
  readonly #fetches: string[] = [];

  constructor(private readonly deps: GitDeps) {}

  /** Takes the answer over from Fastify; what `handle` throws before it has begun becomes plain text. */
  handler(serviceOf: (request: FastifyRequest) => ServiceName, handle: (git: GitRequest) => Promise<void>) {
    return async (request: FastifyRequest, reply: FastifyReply): Promise<void> => {
      reply.hijack();
      try {
        await handle(await this.#open(request, reply, serviceOf(request)));
      } catch (error) {
        answerError(error, reply, this.deps.log);
      }
    };
  }

  async advertise({ service, repository, request, reply }: GitRequest): Promise<void> {
    const { processes, repositories, limits } = this.deps;
    const protocol = service === 'git-upload-pack' ? protocolOf(request) : {};
    const version2 = protocol.GIT_PROTOCOL === 'version=2';
    await processes.serve({
      args: [service.slice('git-'.length), '--stateless-rpc', '--advertise-refs', repository.folder],
      env: repositories.environment(protocol),
      timeoutMs: limits.fetchMs,
      response: reply.raw,
      contentType: `application/x-${service}-advertisement`,
      ...(version2 ? {} : { prefix: Buffer.concat([packet(`# service=${service}\n`), FLUSH]) }),
      whenClientLeaves: 'stop',
    });
  }

  async fetch({ app, repository, request, reply }: GitRequest): Promise<void> {
    const { processes, repositories, limits } = this.deps;
    const ofTenant = this.#fetches.filter((id) => id === app.organizationId).length;
    if (this.#fetches.length >= limits.fetches || ofTenant >= limits.fetchesPerOrganization) {
      throw new PlatformError('limit_exceeded', 'too many fetches at once', {
        hint: 'Try again in a moment.',
      });
    }
    const { fetchRequestBytes: maxBytes, idleBodyMs: idleMs } = limits;
    const stages = bodyStages(request.headers['content-encoding'], { maxBytes, idleMs });
    this.#fetches.push(app.organizationId);
    try {
      await processes.serve({
        args: ['upload-pack', '--stateless-rpc', repository.folder],
        env: repositories.environment(protocolOf(request)),
        timeoutMs: limits.fetchMs,
        body: { source: request.raw, stages },
        response: reply.raw,
        contentType: 'application/x-git-upload-pack-result',
        whenClientLeaves: 'stop',
      });
    } finally {
      this.#fetches.splice(this.#fetches.indexOf(app.organizationId), 1);
    }
  }

  async push({ app, actor, repository, request, reply }: GitRequest): Promise<void> {
    const { processes, repositories, sessions, hookServer, limits } = this.deps;
    const { packBytes, commandBytes, idleBodyMs: idleMs } = limits;
    if ((await repository.sizeBytes()) > limits.repositoryBytes) {
      throw new PlatformError(
        'too_large',
        `the repository of ${app.slug} holds more than ${limits.repositoryBytes} bytes`,
      );
    }
    await new DiskReserve(repository.folder).spend(packBytes);
    const maxBytes = packBytes + 2 * commandBytes;
    const stages = bodyStages(request.headers['content-encoding'], { maxBytes, idleMs });
    sessions.assertRoom(app, limits); // again: others came while we looked
    const session = sessions.open(app, actor);
    try {
      await processes.serve({
        args: [
          '-c',
          `receive.maxInputSize=${packBytes}`,
          'receive-pack',
          '--stateless-rpc',
          repository.folder,
        ],
        env: repositories.environment({
          [HOOK_ENV.socket]: hookServer.socketPath,
          [HOOK_ENV.id]: session.id,
          [HOOK_ENV.secret]: session.secret,
        }),
        timeoutMs: limits.pushMs,
        body: { source: request.raw, stages: [...stages, pushHead(commandBytes)] },
        response: reply.raw,
        contentType: 'application/x-git-receive-pack-result',
        whenClientLeaves: 'go-on',
      });
    } finally {
      sessions.close(session);
    }
  }

  async #open(request: FastifyRequest, reply: FastifyReply, service: ServiceName): Promise<GitRequest> {
    const { authentication, apps, repositories, sessions, limits } = this.deps;
    const actor = await authentication.authenticate(request.headers.authorization);
    if (!actor) throw unauthenticated();
    assertAllowed(actor, { audience: 'user', permission: PERMISSION[service] });
    if (actor.kind !== 'user') throw unauthenticated();
    const slug = slugOf(request);
    const app = await apps.require(actor.organization.id, slug).catch((error: unknown) => {
      throw error instanceof PlatformError && error.code === 'not_found' ? noSuchApp(slug) : error;
    });
    if (service === 'git-receive-pack') sessions.assertRoom(app, limits);
    return { service, app, actor, repository: await repositories.open(app.id), request, reply };
  }
}

function requestedService(request: FastifyRequest): ServiceName {
  const { service } = request.query as { service?: unknown };
  if (service === 'git-receive-pack' || service === 'git-upload-pack') return service;
  return refuseDumb();
}

function refuseDumb(): never {
  throw new PlatformError('forbidden', 'this server speaks only the smart HTTP protocol of git', {
    hint: 'Any git since 1.6.6 does: is the address right (…/git/APP.git)?',
  });
}

/** The content type proves that git sent it, not a form of some web page. */
const postedService =
  (service: ServiceName) =>
  (request: FastifyRequest): ServiceName => {
    if (request.headers['content-type'] === `application/x-${service}-request`) return service;
    throw new PlatformError('invalid_input', `this takes application/x-${service}-request only`);
  };

function slugOf(request: FastifyRequest): string {
  const { repository = '' } = request.params as { repository?: string };
  const slug = repository.endsWith('.git') ? repository.slice(0, -'.git'.length) : '';
  if (AppSlug.safeParse(slug).success) return slug;
  throw new PlatformError('not_found', 'there is no repository at this address', {
    hint: 'It is …/git/APP.git.',
  });
}

/** Only what git's own clients send: the variable reaches a process. */
function protocolOf(request: FastifyRequest): Record<string, string> {
  const header = request.headers['git-protocol'];
  return typeof header === 'string' && /^version=[012]$/.test(header) ? { GIT_PROTOCOL: header } : {};
}

function unauthenticated(): PlatformError {
  return new PlatformError('unauthenticated', 'this needs a valid API token', {
    hint:
      'Log in with `gantry login`; `gantry apps create` in the folder of the app then lets git use that login.\n' +
      'Without them: any user name, and an API token as the password.',
  });
}

function noSuchApp(slug: string): PlatformError {
  return new PlatformError(
    'not_found',
    `no app named ${slug}: create it with \`gantry apps create ${slug}\``,
  );
}

/** Plain text, which git shows its user line by line. */
function answerError(thrown: unknown, { raw }: FastifyReply, log: Logger): void {
  const error = toPlatformError(thrown);
  if (error.code === 'internal') log.error({ err: thrown }, 'a git request failed');
  if (raw.headersSent || raw.destroyed) return void raw.destroy();
  const text = error.code === 'internal' ? 'something went wrong inside the platform' : error.message;
  raw.writeHead(HTTP_STATUS[error.code], {
    'content-type': 'text/plain; charset=utf-8',
    'cache-control': 'no-store',
    connection: 'close', // the body may not have been read
    ...(error.code === 'unauthenticated' ? { 'www-authenticate': 'Basic realm="gantry"' } : {}),
    ...(error.code === 'limit_exceeded' ? { 'retry-after': '10' } : {}),
  });
  raw.end(`${text}\n${error.hint ? `${error.hint}\n` : ''}`);
}
