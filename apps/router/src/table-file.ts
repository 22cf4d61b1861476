import { RouteTable } from '#libs/contract';
import { errorMessage } from '#libs/errors';
import { readFileIfExists, writeFileDurably } from '#libs/host';
import type { Logger } from '#libs/log';

/** The last route table on disk, so that a router which starts while the control plane is away still serves. */
export class TableFile {
  #writing: Promise<void> | undefined;
  #next: RouteTable | undefined;

  constructor(
    private readonly file: string,
    private readonly logger: Logger,
  ) {}

  /** The saved table; undefined when there is none, or when it cannot be read (which is logged). */
  async load(): Promise<RouteTable | undefined> {
    try {
      const text = await readFileIfExists(this.file);
      return text === undefined ? undefined : RouteTable.parse(JSON.parse(text));
    } catch (error) {
      this.logger.warn(
        { file: this.file, error: errorMessage(error) },
        'the saved route table is not readable; ignored',
      );
      return undefined;
    }
  }

  /**
   * Saves `table`, or a newer one that was given meanwhile; resolves when it is on disk. A failure is logged only:
   * a full disk must not keep new routes from being served.
   */
  async save(table: RouteTable): Promise<void> {
    this.#next = table;
    this.#writing ??= this.#write();
    await this.#writing;
  }

  async #write(): Promise<void> {
    for (let table = this.#next; table; table = this.#next) {
      this.#next = undefined;
      try {
        await writeFileDurably(this.file, JSON.stringify(table));
      } catch (error) {
        this.logger.warn({ file: this.file, error: errorMessage(error) }, 'cannot save the route table');
      }
    }
    this.#writing = undefined;
  }
}
