import { Workbench, FIXTURES } from './harness.ts';
import path from 'node:path';
import { readFileSync } from 'node:fs';
const bench = await Workbench.open();
try {
  const r = await bench.build(path.join(FIXTURES, 'static'), 'static');
  const c = await bench.start(r);
  await new Promise(r=>setTimeout(r,1000));
  console.log(readFileSync(c.logFile,'utf8'), bench.engine.get(c.spec.id)?.exit);
} finally { await bench.close(); }
