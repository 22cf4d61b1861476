import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { projectFolder } from '../bases/recipe.ts';
import { readBuildpacks } from './read-buildpacks.ts';

describe("the project's buildpacks", () => {
  it('are whole: every member of the order is there, with its programs', async () => {
    const { order, byId, files } = await readBuildpacks(path.join(projectFolder(), 'buildpacks'));
    expect(order.map(({ group }) => group.map(({ id }) => id))).toEqual([
      ['nodejs', 'procfile'],
      ['static', 'procfile'],
      ['procfile'],
    ]);
    for (const id of byId.keys()) {
      expect(byId.get(id)?.buildpack.id).toBe(id);
      const programs = files
        .filter((file) => file.executable && file.path.startsWith(`${id}/`))
        .map((file) => file.path);
      expect(programs).toEqual([`${id}/bin/build`, `${id}/bin/detect`]);
    }
    expect(files.find((file) => file.path === 'lifecycle.sh')?.executable).toBe(true);
  });
});
