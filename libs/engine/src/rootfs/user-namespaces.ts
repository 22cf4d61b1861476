import { closeSync, openSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { PlatformError } from '#libs/errors';
import type { Exec } from '#libs/host';
import { RANGE_SIZE } from '../id-ranges.ts';

/** Namespaces kept open; the least recently made goes first. */
const MAX_OPEN = 512;
const READY_TIMEOUT_MS = 10_000;

/**
 * A user namespace per id range, kept as an open file: the kernel takes the translation of an idmapped mount from one.
 * Each is made by a child that lives just long enough to have its maps written.
 */
export class UserNamespaces {
  readonly #open = new Map<number, Promise<number>>();

  constructor(
    private readonly exec: Exec,
    private readonly unshare: string,
  ) {}

  /** File descriptor of a namespace in which 0…65535 are `firstId`…; belongs to this object. */
  get(firstId: number): Promise<number> {
    const known = this.#open.get(firstId);
    if (known) return known;
    const made = this.#make(firstId);
    this.#open.set(firstId, made);
    made.catch(() => this.#open.delete(firstId));
    this.#forgetOldest();
    return made;
  }

  async close(): Promise<void> {
    const settled = await Promise.allSettled(this.#open.values());
    this.#open.clear();
    for (const result of settled) if (result.status === 'fulfilled') closeSync(result.value);
  }

  #forgetOldest(): void {
    if (this.#open.size <= MAX_OPEN) return;
    const oldest = this.#open.entries().next().value;
    if (!oldest) return;
    this.#open.delete(oldest[0]);
    void oldest[1].then(closeSync, () => {});
  }

  async #make(firstId: number): Promise<number> {
    const child = this.exec.spawn(this.unshare, ['--user', 'cat'], { stdio: ['pipe', 'pipe', 'ignore'] });
    const ended = new Promise<void>((resolve) => child.once('close', () => resolve()));
    try {
      // `cat` only answers once unshare has made the namespace and become it.
      await new Promise<void>((resolve, reject) => {
        const timer = setTimeout(() => reject(new Error('no answer from the child')), READY_TIMEOUT_MS);
        const settle = (act: () => void) => {
          clearTimeout(timer);
          act();
        };
        child.once('error', (error) => settle(() => reject(error)));
        child.once('close', (code) => settle(() => reject(new Error(`unshare ended with ${code}`))));
        child.stdout?.once('data', () => settle(resolve));
        child.stdin?.on('error', () => {});
        child.stdin?.write('\n');
      });
      const map = `0 ${firstId} ${RANGE_SIZE}\n`;
      await writeFile(`/proc/${child.pid}/uid_map`, map);
      await writeFile(`/proc/${child.pid}/gid_map`, map);
      return openSync(`/proc/${child.pid}/ns/user`, 'r');
    } catch (error) {
      throw new PlatformError('unsupported', 'could not make a user namespace on this machine', {
        cause: error,
        hint: 'allow user namespaces: sysctl user.max_user_namespaces must be above 0',
      });
    } finally {
      child.kill('SIGKILL');
      await ended;
    }
  }
}
