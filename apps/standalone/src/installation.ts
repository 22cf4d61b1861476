import { z } from 'zod';
import { PlatformError } from '#libs/errors';
import { randomSecret, randomText, readFileIfExists, writeFileDurably } from '#libs/host';
import type { Layout } from './layout.ts';

const InstallationFile = z.object({ id: z.string().regex(/^[0-9a-z]{5}$/) });
const SecretsFile = z.object({
  adminToken: z.string().min(32),
  nodeToken: z.string().min(32),
  routerToken: z.string().min(32),
  masterKey: z.base64url().length(43),
});

export type Secrets = z.infer<typeof SecretsFile>;

export interface Installation {
  /** Five characters of [0-9a-z], part of every name that this platform makes in the kernel. */
  id: string;
  secrets: Secrets;
}

/** Reads who this platform is, and makes it up on the first call. Throws `invalid_input` when a file is damaged. */
export async function ensureInstallation(layout: Layout): Promise<Installation> {
  const found = await readInstallation(layout);
  if (found) return found;
  // The secrets come first: an installation with an id always has them.
  if ((await readFileIfExists(layout.secretsFile)) === undefined) {
    const secrets: Secrets = {
      adminToken: randomSecret(),
      nodeToken: randomSecret(),
      routerToken: randomSecret(),
      masterKey: randomSecret(32),
    };
    await writeFileDurably(layout.secretsFile, toJson(secrets), 0o600);
  }
  await writeFileDurably(layout.installationFile, toJson({ id: randomText(5) }), 0o644);
  const made = await readInstallation(layout);
  if (!made) throw new PlatformError('internal', `${layout.installationFile} vanished after it was written`);
  return made;
}

/** The platform in this data folder, or undefined when none was ever started here. */
export async function readInstallation(layout: Layout): Promise<Installation | undefined> {
  const text = await readFileIfExists(layout.installationFile);
  if (text === undefined) return undefined;
  const { id } = parseFile(InstallationFile, layout.installationFile, text);
  const secrets = await readFileIfExists(layout.secretsFile);
  if (secrets === undefined) throw damaged(layout.secretsFile, 'is missing');
  return { id, secrets: parseFile(SecretsFile, layout.secretsFile, secrets) };
}

export interface AdminAccess {
  url: string;
  token: string;
  domain: string;
  httpPort: number;
  dockerSocket: string;
}

/** Leaves what `gantry login` on this machine and scripts need, readable by root only. */
export async function writeAdminFile(layout: Layout, access: AdminAccess): Promise<void> {
  await writeFileDurably(layout.adminFile, toJson(access), 0o600);
}

function parseFile<T extends z.ZodType>(schema: T, file: string, text: string): z.output<T> {
  try {
    return schema.parse(JSON.parse(text));
  } catch (cause) {
    throw damaged(file, 'does not hold what Gantry writes', cause);
  }
}

function damaged(file: string, problem: string, cause?: unknown): PlatformError {
  return new PlatformError('invalid_input', `cannot start the platform: ${file} ${problem}`, {
    cause,
    hint: 'Bring the file back from a backup, or start a new platform in another folder with --data.',
  });
}

function toJson(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}
