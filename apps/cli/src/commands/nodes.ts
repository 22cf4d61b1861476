import { userEndpoints } from '#libs/contract';
import type { Cli } from '../cli.ts';
import { connect } from '../connect.ts';
import { ago, bytes } from '../text.ts';
import { type Verb, withJson } from '../verb.ts';

export const nodes: Verb = {
  define(command, cli) {
    withJson(command.description('List the worker nodes of the platform (operators only)')).action(() =>
      run(cli),
    );
  },
  examples: [['gantry nodes', 'nodes, their state and their size']],
};

async function run(cli: Cli): Promise<void> {
  const api = await connect(cli);
  const { items } = await api.call(userEndpoints.listNodes, {});
  const { bold, green, red } = cli.terminal.colors;
  await cli.terminal.result({ items }, () =>
    cli.terminal.table(
      ['NODE', 'STATUS', 'INSTANCES', 'CPUS', 'MEMORY', 'VERSION', 'LAST SEEN'],
      items.map((node) => [
        { text: node.name, paint: bold },
        { text: node.status, paint: node.status === 'ready' ? green : red },
        String(node.instances),
        String(node.cpus),
        bytes(node.memoryBytes),
        node.version,
        ago(node.lastSeenAt, cli.clock.now()),
      ]),
      'No node has joined yet.',
    ),
  );
}
