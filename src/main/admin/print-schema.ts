/** Prints the schema of `?json`: `node dist/main/admin/print-schema.js > docs/server-status.schema.json`. */
import { jsonSchema } from './schema.ts';

process.stdout.write(`${JSON.stringify(jsonSchema(), null, 2)}\n`);
