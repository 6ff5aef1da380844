/** Writes grafana/dashboards from the code beside it: `npm run grafana`, from the root of the project. */
import { writeFileSync } from 'node:fs';
import { dashboards } from './code/dashboards.ts';

for (const [file, text] of dashboards()) {
  writeFileSync(`grafana/dashboards/${file}`, text);
  process.stdout.write(`grafana/dashboards/${file}: ${text.length} characters\n`);
}
