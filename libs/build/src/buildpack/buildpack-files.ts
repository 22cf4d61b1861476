import { parse } from 'smol-toml';
import { z } from 'zod';
import { PlatformError } from '#libs/errors';

/** A layer's name: it becomes a path in the image. */
export const LayerName = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/);

const RelativePath = z.string().regex(/^[A-Za-z0-9_.-]+(\/[A-Za-z0-9_.-]+)*$/);

/** A place inside the app's folder for a layer; see buildpacks/README.md. */
export const AppFolder = z.object({
  path: RelativePath,
  when: z.string(),
  'mounted-layer': LayerName,
  'exported-layers': z.array(LayerName),
});

/** `buildpack.toml`, as far as it is used (Buildpack API 0.10). */
export const BuildpackToml = z.object({
  api: z.string(),
  buildpack: z.object({
    id: z.string().regex(/^[a-z][a-z0-9-]*$/),
    version: z.string(),
    name: z.string().optional(),
  }),
  metadata: z.object({ 'app-folders': z.array(AppFolder).default([]) }).default({ 'app-folders': [] }),
});

export const OrderToml = z.object({
  order: z
    .array(
      z.object({ group: z.array(z.object({ id: z.string(), optional: z.boolean().default(false) })).min(1) }),
    )
    .min(1),
});

/** `<layer>.toml`: what a layer is for, and what a later build compares. */
export const LayerToml = z.object({
  types: z
    .object({
      launch: z.boolean().default(false),
      build: z.boolean().default(false),
      cache: z.boolean().default(false),
    })
    .default({ launch: false, build: false, cache: false }),
  metadata: z.record(z.string(), z.json()).default({}),
});

/** `launch.toml`: process types; what else the specification has is not read. */
export const LaunchToml = z.object({
  processes: z
    .array(
      z.object({
        type: z.string().max(30),
        command: z.array(z.string().max(8192)).min(1).max(200),
        args: z.array(z.string().max(8192)).max(200).default([]),
        default: z.boolean().default(false),
      }),
    )
    .max(50)
    .default([]),
});

export type AppFolder = z.infer<typeof AppFolder>;
export type BuildpackToml = z.infer<typeof BuildpackToml>;
export type OrderToml = z.infer<typeof OrderToml>;
export type LayerToml = z.infer<typeof LayerToml>;
export type LaunchToml = z.infer<typeof LaunchToml>;

/** Parses a TOML file that a stranger may have written; `build_failed` naming the file when it is not as it should be. */
export function parseToml<T extends z.ZodType>(schema: T, text: string, name: string): z.output<T> {
  try {
    return schema.parse(parse(text));
  } catch (error) {
    const why =
      error instanceof z.ZodError
        ? z.prettifyError(error)
        : String(error instanceof Error ? error.message : error);
    throw new PlatformError(
      'build_failed',
      `${name} cannot be used: ${why.split('\n').slice(0, 3).join(' ')}`,
      { cause: error },
    );
  }
}
