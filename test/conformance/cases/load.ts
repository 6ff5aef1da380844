/**
 * Reads the conformance cases: prose, what a client sends, what comes of it.
 *
 * Role: turns the Markdown files beside it into cases.
 * Thread: tests only.
 * May not: judge; see trace.ts for what is compared.
 *
 * A case is a heading, prose, a block `http` and a block `trace`. Each line of `http` is sent with
 * CRLF behind it, without where it ends in a backslash. `\r`, `\n`, `\t`, `\xHH` and `\\` stand for
 * bytes. Limits may follow the word `http`, as in `http requestLine=20`.
 */

import { readFileSync } from 'node:fs';
import type { RequestLimits } from '../../../src/workers/http1/request-parser.ts';

export interface Case {
  title: string;
  input: Buffer;
  limits: RequestLimits;
  trace: string[];
}

export function loadCases(file: string): Case[] {
  const text = readFileSync(new URL(file, import.meta.url), 'utf8');
  return text
    .split(/^## /m)
    .slice(1)
    .map((section) => {
      const title = section.slice(0, section.indexOf('\n')).trim();
      const http = /^```http(.*)\n([\s\S]*?)^```$/m.exec(section);
      const trace = /^```trace\n([\s\S]*?)^```$/m.exec(section);
      if (http === null || trace === null) throw new Error(`${file}: «${title}» lacks a block`);
      const input = http[2]
        .split('\n')
        .slice(0, -1)
        .map((line) => (/(?<!\\)\\$/.test(line) ? line.slice(0, -1) : `${line}\r\n`))
        .map(bytesOf)
        .join('');
      return {
        title,
        input: Buffer.from(input, 'latin1'),
        limits: limitsOf(http[1]),
        trace: trace[1].split('\n').slice(0, -1),
      };
    });
}

function limitsOf(words: string): RequestLimits {
  const limits: RequestLimits = { requestLine: 8190, fieldSize: 8190, fields: 100 };
  for (const [, name, value] of words.matchAll(/(\w+)=(\d+)/g)) {
    if (!(name in limits)) throw new Error(`no limit ${name}`);
    limits[name as keyof RequestLimits] = Number(value);
  }
  return limits;
}

function bytesOf(line: string): string {
  return line.replace(/\\(?:x([0-9a-f]{2})|([rnt\\]))/g, (_, hex, letter) => {
    if (hex !== undefined) return String.fromCharCode(Number.parseInt(hex, 16));
    return { r: '\r', n: '\n', t: '\t', '\\': '\\' }[letter as 'r' | 'n' | 't' | '\\'];
  });
}
