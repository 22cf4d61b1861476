/** Characters of one line of a build's output; the rest is cut off. */
export const MAX_LINE_LENGTH = 2000;

// ECMA-48 control sequences, OSC strings (ended by BEL or ST), and the other two-character escapes.
// biome-ignore lint/suspicious/noControlCharactersInRegex: taking control characters out is what this is for
const ESCAPES = /\u001b\[[0-?]*[ -/]*[@-~]|\u001b\][^\u0007\u001b]*(?:\u0007|\u001b\\)?|\u001b[ -/]*[0-~]/g;
// biome-ignore lint/suspicious/noControlCharactersInRegex: the same
const CONTROLS = /[\u0000-\u0008\u000a-\u001f\u007f-\u009f\u2028\u2029]/g;
const SECRET_NAME = /(SECRET|TOKEN|PASSWORD|PASSWD|CREDENTIAL|PRIVATE|API_?KEY|_KEY$|_URL$|_DSN$)/i;
const MIN_SECRET_LENGTH = 8;

/**
 * A line of a stranger's output, safe to show in a terminal: no escapes or control characters, what a progress bar
 * overwrote left out, length limited. `secrets` are replaced.
 */
export function cleanLine(text: string, secrets: readonly string[] = []): string {
  let line = text.replace(ESCAPES, '').replace(/\r+$/, '');
  line = line.slice(line.lastIndexOf('\r') + 1).replace(CONTROLS, '');
  for (const secret of secrets) line = line.replaceAll(secret, '[hidden]');
  return line.length > MAX_LINE_LENGTH ? `${line.slice(0, MAX_LINE_LENGTH)}…` : line;
}

/** Values of an environment that must not be shown, judged by their names, longest first. */
export function secretValues(env: Readonly<Record<string, string>>): string[] {
  return Object.entries(env)
    .filter(([name, value]) => SECRET_NAME.test(name) && value.length >= MIN_SECRET_LENGTH)
    .flatMap(([, value]) => value.split('\n').filter((part) => part.length >= MIN_SECRET_LENGTH))
    .sort((a, b) => b.length - a.length);
}
