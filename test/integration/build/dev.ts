import path from 'node:path';
import { FIXTURES, Workbench } from './harness.ts';

const bench = await Workbench.open();
try {
  for (const name of process.argv.slice(2)) {
    const t = Date.now();
    try {
      const r = await bench.build(path.join(FIXTURES, name), name, {
        onLine: (l) => console.log(`${Date.now() - t}`.padStart(6), l),
      });
      console.log(JSON.stringify(r.image.timings), JSON.stringify(r.image.services), r.image.digest);
    } catch (error) {
      console.log('ERROR', error);
    }
  }
} finally {
  await bench.close();
}
