/**
 * Git's proc-receive hook (githooks(5)): passes the commands of a push on to the control plane, its lines on to the
 * pusher, and its results back to git. It decides nothing. Node runs it as it stands: it imports only its neighbours,
 * and takes part in a push that may last long, so it holds nothing but one connection.
 */
import { request } from 'node:http';
import { FLUSH, PacketReader, packet } from './pkt-line.ts';
import { HOOK_ENV, type PushCommand, type PushMessage, type PushOutcome } from './push-protocol.ts';

const ENDED = 'the platform went away; push again';

async function main(): Promise<void> {
  process.stderr.on('error', () => {}); // the pusher may be gone: the push goes on
  const packets = readPackets();
  await nextGroup(packets); // version and features of git
  process.stdout.write(Buffer.concat([packet('version=1'), FLUSH]));
  const commands = (await nextGroup(packets)).map(parseCommand);
  const outcomes = await ask(commands);
  const answer = commands.flatMap(({ ref }) =>
    report(ref, outcomes.get(ref) ?? { kind: 'refused', reason: ENDED }),
  );
  process.stdout.write(Buffer.concat([...answer, FLUSH]), () => process.exit(0));
}

async function* readPackets(): AsyncGenerator<string | 'flush'> {
  const reader = new PacketReader();
  for await (const chunk of process.stdin) {
    for (const item of reader.push(chunk)) yield item === 'flush' ? item : item.toString('utf8');
  }
}

async function nextGroup(packets: AsyncGenerator<string>): Promise<string[]> {
  const group: string[] = [];
  for (;;) {
    const { value, done } = await packets.next();
    if (done) throw new Error('git ended the conversation early');
    if (value === 'flush') return group;
    group.push(value.replace(/\n$/, ''));
  }
}

/** `<old> <new> <ref>` */
function parseCommand(line: string): PushCommand {
  const [old = '', next = ''] = line.split(' ', 2);
  return { old, new: next, ref: line.slice(old.length + next.length + 2) };
}

function report(ref: string, outcome: PushOutcome): Buffer[] {
  if (outcome.kind === 'refused') return [packet(`ng ${ref} ${outcome.reason}`)];
  return outcome.kind === 'git'
    ? [packet(`ok ${ref}`), packet('option fall-through')]
    : [packet(`ok ${ref}`)];
}

function ask(commands: PushCommand[]): Promise<Map<string, PushOutcome>> {
  const outcomes = new Map<string, PushOutcome>();
  const {
    [HOOK_ENV.socket]: socketPath,
    [HOOK_ENV.id]: id = '',
    [HOOK_ENV.secret]: secret = '',
  } = process.env;
  return new Promise((resolve) => {
    const giveUp = () => resolve(outcomes);
    const call = request(
      {
        socketPath,
        method: 'POST',
        path: `/pushes/${encodeURIComponent(id)}`,
        headers: { authorization: `Bearer ${secret}`, 'content-type': 'application/json' },
      },
      (response) => {
        let rest = '';
        response.setEncoding('utf8').on('data', (text: string) => {
          const lines = (rest + text).split('\n');
          rest = lines.pop() ?? '';
          for (const line of lines) take(JSON.parse(line) as PushMessage, outcomes);
        });
        response.on('end', giveUp).on('error', giveUp);
      },
    );
    call.on('error', giveUp);
    call.end(JSON.stringify({ commands }));
  });
}

function take(message: PushMessage, outcomes: Map<string, PushOutcome>): void {
  if ('line' in message) process.stderr.write(`${message.line}\n`);
  else for (const { ref, outcome } of message.results) outcomes.set(ref, outcome);
}

main().catch((error: unknown) => {
  process.stderr.write(`proc-receive: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exit(1);
});
