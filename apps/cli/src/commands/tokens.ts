import { Id, userEndpoints } from '#libs/contract';
import { PlatformError } from '#libs/errors';
import type { Cli } from '../cli.ts';
import { connect } from '../connect.ts';
import { ago, plain } from '../text.ts';
import { type Verb, withJson } from '../verb.ts';

const MAX_NAME_LENGTH = 60;

export const tokens: Verb = {
  define(command, cli) {
    command.description('API tokens: what programs and other machines log in with');
    const create = command
      .command('create')
      .summary('make a token')
      .description('Make a token. Its secret is printed once and stored nowhere.')
      .argument('<name>', 'what it is for');
    withJson(create).action((name: string) => createToken(cli, name));
    withJson(
      command.command('list').summary('list tokens (the default)').description('List your tokens'),
    ).action(() => listTokens(cli));
    const revoke = command
      .command('revoke')
      .summary('end a token')
      .description('End a token: whoever uses it is locked out at once')
      .argument('<id>', 'its id, as `gantry tokens` shows it');
    withJson(revoke).action((id: string) => revokeToken(cli, id));
  },
  examples: [
    ['gantry tokens create ci', 'prints the secret of a new token'],
    ['gantry tokens', 'what tokens there are, and when they were used'],
  ],
};

async function createToken(cli: Cli, name: string): Promise<void> {
  if (name.length === 0 || name.length > MAX_NAME_LENGTH) {
    throw new PlatformError('invalid_input', `a token's name has 1 to ${MAX_NAME_LENGTH} characters`, {
      hint: 'Say what it is for: gantry tokens create ci',
    });
  }
  const api = await connect(cli);
  const token = await api.call(userEndpoints.createToken, { body: { name } });
  cli.terminal.note(`Keep this token: it is not shown again. Its id is ${plain(token.id)}.`);
  await cli.terminal.result(token, () => cli.terminal.print(plain(token.secret)));
}

async function listTokens(cli: Cli): Promise<void> {
  const api = await connect(cli);
  const { items } = await api.call(userEndpoints.listTokens, {});
  const now = cli.clock.now();
  await cli.terminal.result({ items }, () =>
    cli.terminal.table(
      ['ID', 'NAME', 'CREATED', 'LAST USED'],
      items.map((token) => [
        token.id,
        { text: token.name, paint: cli.terminal.colors.bold },
        ago(token.createdAt, now),
        token.lastUsedAt === null ? 'never' : ago(token.lastUsedAt, now),
      ]),
      'You have no tokens. `gantry tokens create NAME` makes one.',
    ),
  );
}

async function revokeToken(cli: Cli, id: string): Promise<void> {
  if (!Id.safeParse(id).success) {
    throw new PlatformError('invalid_input', `${JSON.stringify(id)} is no token's id`, {
      hint: '`gantry tokens` lists the ids.',
    });
  }
  const api = await connect(cli);
  await api.call(userEndpoints.revokeToken, { params: { id } });
  await cli.terminal.result({ revoked: id }, () => cli.terminal.print(`Revoked ${id}`));
}
