import { chmod, mkdir } from 'node:fs/promises';
import path from 'node:path';
import { z } from 'zod';
import { PlatformError } from '#libs/errors';
import { readFileIfExists, writeFileDurably } from '#libs/host';

const LoginFile = z.object({
  /** Origin of the platform that verbs talk to unless told otherwise. */
  current: z.string().nullable(),
  hosts: z.record(z.string(), z.object({ token: z.string().min(1) })),
});
type LoginFile = z.infer<typeof LoginFile>;

export interface Login {
  url: string;
  token: string;
}

/** The logins of this user: `config.json`, mode 0600, one token per platform and which platform is current. */
export class Logins {
  readonly #folder: string;

  constructor(configDir: string) {
    this.#folder = configDir;
  }

  get file(): string {
    return path.join(this.#folder, 'config.json');
  }

  /** The current login, or undefined. */
  async current(): Promise<Login | undefined> {
    const { current } = await this.#read();
    return current === null ? undefined : this.find(current);
  }

  /** The login at the platform with this origin, or undefined. */
  async find(url: string): Promise<Login | undefined> {
    const { hosts } = await this.#read();
    const host = Object.hasOwn(hosts, url) ? hosts[url] : undefined;
    return host && { url, token: host.token };
  }

  /** Origins of all platforms with a login. */
  async urls(): Promise<string[]> {
    return Object.keys((await this.#read()).hosts);
  }

  /** Stores a login and makes it the current one. */
  async save(login: Login): Promise<void> {
    const content = await this.#read();
    content.hosts[login.url] = { token: login.token };
    await this.#write({ ...content, current: login.url });
  }

  /** Forgets the login at `url`. The current one stays unless it is that. */
  async remove(url: string): Promise<void> {
    const { current, hosts } = await this.#read();
    delete hosts[url];
    await this.#write({ current: current === url ? null : current, hosts });
  }

  async #read(): Promise<LoginFile> {
    const text = await readFileIfExists(this.file);
    if (text === undefined) return { current: null, hosts: {} };
    try {
      return LoginFile.parse(JSON.parse(text));
    } catch (cause) {
      throw new PlatformError('invalid_input', `the stored logins in ${this.file} cannot be read`, {
        cause,
        hint: 'Delete that file and run `gantry login` again.',
      });
    }
  }

  async #write(content: LoginFile): Promise<void> {
    await mkdir(this.#folder, { recursive: true, mode: 0o700 });
    await writeFileDurably(this.file, `${JSON.stringify(content, null, 2)}\n`, 0o600);
    await chmod(this.file, 0o600); // whatever the umask said
  }
}
