import { Inject, Injectable } from '@nestjs/common';
import { ConfigMap } from '#libs/contract';
import { PlatformError } from '#libs/errors';
import type { ControlPlaneConfig } from '../config.ts';
import { type Database, PrismaService } from '../database/prisma.service.ts';
import { SecretBox } from '../secrets/secret-box.ts';
import { CONFIG } from '../tokens.ts';

const MAX_VARIABLES = 500;
const MAX_TOTAL_BYTES = 256 * 1024;

/** Config variables of apps: versions, each sealed. A release names the version that it runs with. */
@Injectable()
export class VariablesService {
  readonly #box: SecretBox;

  constructor(
    private readonly prisma: PrismaService,
    @Inject(CONFIG) config: ControlPlaneConfig,
  ) {
    this.#box = new SecretBox(config.masterKey);
  }

  /** The newest version and its variables; version 0 without any if nothing was ever set. */
  async latest(
    appId: string,
    database: Database = this.prisma,
  ): Promise<{ version: number; variables: ConfigMap }> {
    const row = await database.configVersion.findFirst({ where: { appId }, orderBy: { version: 'desc' } });
    if (!row) return { version: 0, variables: {} };
    return { version: row.version, variables: this.#open(row) };
  }

  async at(appId: string, version: number): Promise<ConfigMap> {
    const row = await this.prisma.configVersion.findUniqueOrThrow({
      where: { appId_version: { appId, version } },
    });
    return this.#open(row);
  }

  /** Number of a version that exists, for a release: makes an empty first one when needed. The app's lock must be held. */
  async ensureVersion(database: Database, appId: string): Promise<number> {
    const { version } = await this.latest(appId, database);
    return version || this.#write(database, appId, 1, {});
  }

  /** Writes a new version with the changes applied. The app's lock must be held. Throws `too_large`. */
  async change(
    database: Database,
    appId: string,
    change: { set: ConfigMap; unset: readonly string[] },
  ): Promise<{ variables: ConfigMap; changed: boolean }> {
    const { version, variables } = await this.latest(appId, database);
    const next = Object.fromEntries(
      Object.entries({ ...variables, ...change.set })
        .filter(([name]) => !change.unset.includes(name))
        .sort(([a], [b]) => a.localeCompare(b)),
    );
    const text = JSON.stringify(next);
    if (Object.keys(next).length > MAX_VARIABLES || text.length > MAX_TOTAL_BYTES) {
      throw new PlatformError(
        'too_large',
        `config is limited to ${MAX_VARIABLES} variables and ${MAX_TOTAL_BYTES / 1024} KiB in all`,
      );
    }
    if (Object.values(next).some((value) => value.includes('\0'))) {
      throw new PlatformError('invalid_input', 'config values are text: they cannot hold a NUL byte');
    }
    const changed = text !== JSON.stringify(variables);
    if (changed) await this.#write(database, appId, version + 1, next);
    return { variables: next, changed };
  }

  async #write(database: Database, appId: string, version: number, variables: ConfigMap): Promise<number> {
    const sealed = this.#box.seal(JSON.stringify(variables), `config:${appId}:${version}`);
    await database.configVersion.create({ data: { appId, version, sealed } });
    return version;
  }

  #open(row: { appId: string; version: number; sealed: Uint8Array }): ConfigMap {
    return ConfigMap.parse(JSON.parse(this.#box.open(row.sealed, `config:${row.appId}:${row.version}`)));
  }
}
