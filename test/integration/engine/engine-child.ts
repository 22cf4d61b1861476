/**
 * A process that uses an engine and is then killed, for the tests of what survives. It takes lines of JSON on standard
 * input, `{"verb", "args"}`, and answers each with a line.
 */
import { createInterface } from 'node:readline';
import { z } from 'zod';
import { type ContainerSpec, openEngine } from '#libs/engine';
import { deps } from './engine-fixture.ts';

const Request = z.object({ verb: z.enum(['create', 'start']), argument: z.unknown() });
const [root = '', installationId = ''] = process.argv.slice(2);
const engine = await openEngine({ root, installationId }, deps);
process.stdout.write('"open"\n');
for await (const line of createInterface({ input: process.stdin })) {
  const { verb, argument } = Request.parse(JSON.parse(line));
  const answer =
    verb === 'create'
      ? await engine.create(argument as ContainerSpec)
      : await engine.start(z.string().parse(argument));
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
