/**
 * The status page: a document without outside parts, made to be read by people.
 *
 * Role: the frame around what page-model.ts renders, and the headers that fence it in.
 * Thread: any; pure functions.
 */
import { createHash } from 'node:crypto';
import { OPEN_STATES } from '../../scoreboard/snapshot.ts';
import { type Html, html, trusted } from './html.ts';
import { actionForms } from './page-actions.ts';
import { connectionDetail } from './page-detail.ts';
import type { PageModel } from './page-diff.ts';
import { pageModel, UPSTREAM_COLUMNS, WORKER_COLUMNS } from './page-model.ts';
import { SCRIPT } from './page-script.ts';
import { STYLE } from './page-style.ts';
import { linkTo, queryText, SORT_KEYS, type SortKey, type StatusQuery, sortText } from './query.ts';
import type { StatusDocument } from './schema.ts';

/** Where the page is, as its links need it. */
export interface PagePlace {
  /** Path of the event stream; null: there is none, and the page stays as it is. */
  readonly eventsPath: string | null;
  /** Path that actions are posted to; null: there are none. */
  readonly actionsPath: string | null;
  /** Links to the other pages of the admin server, by name. */
  readonly links: readonly (readonly [name: string, href: string])[];
}

const hashOf = (text: string): string =>
  `'sha256-${createHash('sha256').update(text).digest('base64')}'`;

/** Only this style and this script; nothing from outside, and in nobody's frame. */
export const CONTENT_SECURITY_POLICY = [
  "default-src 'none'",
  `style-src ${hashOf(STYLE)}`,
  `script-src ${hashOf(SCRIPT)}`,
  "connect-src 'self'",
  // The empty icon, so that no browser asks for one.
  'img-src data:',
  "form-action 'self'",
  "base-uri 'none'",
  "frame-ancestors 'none'",
].join('; ');

const CARDS = [
  ['requests', 'Requests'],
  ['traffic', 'Traffic'],
  ['latency', 'Latency'],
  ['connections', 'Connections'],
  ['workers', 'Workers'],
  ['queue', 'Queue'],
] as const;

const CONNECTION_COLUMNS: readonly (readonly [string, SortKey | null])[] = [
  ['Slot', 'slot'],
  ['State', 'state'],
  ['Client', 'client'],
  ['In state', 'age'],
  ['Open', 'open'],
  ['Requests', 'requests'],
  ['In', 'received'],
  ['Out', 'sent'],
  ['Worker', 'worker'],
  ['Current or last request', null],
];

function columnHead([name, key]: readonly [string, SortKey | null], query: StatusQuery): Html {
  if (key === null) return html`<th scope="col">${name}</th>`;
  const sorted = query.sort === key;
  // Ages and amounts are looked at from the top; a second click turns them round.
  const ascends = key === 'slot' || key === 'state' || key === 'client' || key === 'worker';
  const descending = sorted ? !query.descending : !ascends;
  const link = html`<a href="${linkTo(query, { sort: key, descending })}">${name}</a>`;
  if (!sorted) return html`<th scope="col">${link}</th>`;
  const [order, arrow] = query.descending ? ['descending', '\u2193'] : ['ascending', '\u2191'];
  return html`<th scope="col" aria-sort="${order}">${link} <span aria-hidden="true">${arrow}</span></th>`;
}

function rowsOf(model: PageModel, table: string): Html[] {
  return (model.tables[table] ?? []).map(
    ({ key, cells }) =>
      html`<tr data-k="${key}">${cells.map((cell, column) =>
        column === 0 ? html`<th scope="row">${cell}</th>` : html`<td>${cell}</td>`,
      )}</tr>\n`,
  );
}

const option = (value: string, text: string, chosen: boolean): Html =>
  chosen
    ? html`<option value="${value}" selected>${text}</option>`
    : html`<option value="${value}">${text}</option>`;

function filterForm(query: StatusQuery): Html {
  const states = query.states.join(',');
  const known: readonly string[] = ['', ...OPEN_STATES];
  const choices = known.includes(states) ? known : [...known, states];
  const sorts = SORT_KEYS.flatMap((key) => (key === 'active' ? [key] : [key, `-${key}`]));
  const sort = sortText(query);
  const refresh =
    query.refresh === null
      ? html``
      : html`<input type="hidden" name="refresh" value="${query.refresh}">`;
  return html`<form method="get" aria-label="Filter of connections">
<label>State <select name="state">${choices.map((state) => option(state, state || 'any', state === states))}</select></label>
<label>Client <input name="client" value="${query.client}" maxlength="200" placeholder="10.0." size="14"></label>
<label>Worker <input name="worker" value="${query.worker ?? ''}" inputmode="numeric"></label>
<label>Request <input name="request" value="${query.request}" maxlength="200" placeholder="/api" size="14"></label>
<label>Sort <select name="sort">${(sorts.includes(sort) ? sorts : [...sorts, sort]).map((key) => option(key, key, key === sort))}</select></label>
<label>Limit <input name="limit" value="${query.limit}" inputmode="numeric"></label>
<label class="row"><input type="checkbox" name="queries" value="show"${trusted(query.showQueries ? ' checked' : '')}> query strings</label>
${refresh}<button>Show</button></form>`;
}

const card = ([part, name]: readonly [string, string], model: PageModel): Html =>
  html`<div class="card" role="group" aria-labelledby="card-${part}"><h3 id="card-${part}">${name}</h3><div data-part="${part}">${model.parts[part] ?? ''}</div></div>\n`;

function tools(query: StatusQuery, { eventsPath }: PagePlace): Html {
  if (query.refresh !== null) {
    return html`<p class="tools">asks again every ${query.refresh} s <a href="${linkTo(query, { refresh: null })}">stop</a></p>`;
  }
  const again = html`<a href="${linkTo(query, { refresh: 5 })}">every 5 s</a>`;
  if (eventsPath === null) return html`<p class="tools">ask again ${again}</p>`;
  return html`<p class="tools"><noscript>ask again ${again}</noscript><span id="live" role="status"></span> <button type="button" id="pause" hidden>Pause</button></p>`;
}

function upstreamSection(document: StatusDocument, model: PageModel): Html {
  if (document.upstreams.length === 0) return html``;
  return html`<section aria-labelledby="h-upstreams"><h2 id="h-upstreams">Upstreams</h2>
<div class="scroll" tabindex="0" role="region" aria-label="Table of upstreams"><table id="upstreams"><caption>Servers that requests are passed on to</caption>
<thead><tr>${UPSTREAM_COLUMNS.map((column) => html`<th scope="col">${column}</th>`)}</tr></thead>
<tbody data-table="upstreams">${rowsOf(model, 'upstreams')}</tbody></table></div></section>
`;
}

/** The whole page. */
export function statusPage(document: StatusDocument, query: StatusQuery, place: PagePlace): string {
  const model = statusModel(document, query);
  const part = (name: string): Html => model.parts[name] ?? html``;
  const text = queryText({ ...query, refresh: null });
  const events = place.eventsPath === null ? '' : `${place.eventsPath}${text && `?${text}`}`;
  const live = place.eventsPath !== null && query.refresh === null;
  const detail = model.parts.detail;
  const { name } = document.server;
  return html`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">
<meta name="color-scheme" content="light dark"><link rel="icon" href="data:,"><title>Server status: ${name}</title>
<style>${trusted(STYLE)}</style></head><body data-events="${events}">
<header><h1>${name}</h1>${tools(query, place)}<p class="dim" data-part="summary">${part('summary')}</p></header>
<main>
<h2 id="h-now">Now</h2>
<div class="cards">${CARDS.map((one) => card(one, model))}</div>
${
  detail === undefined
    ? html``
    : html`<section aria-labelledby="h-detail"><h2 id="h-detail">Connection ${query.connection ?? ''}</h2><div data-part="detail">${detail}</div></section>`
}
<section aria-labelledby="h-board"><h2 id="h-board">Scoreboard</h2>
<h3>Workers</h3><div data-part="workerGrid">${part('workerGrid')}</div>
<ul class="key" aria-label="Letters of workers" data-part="workerKey">${part('workerKey')}</ul>
<h3>Connections</h3><div data-part="connectionGrid">${part('connectionGrid')}</div>
<ul class="key" aria-label="Letters of connections" data-part="connectionKey">${part('connectionKey')}</ul></section>
<section aria-labelledby="h-workers"><h2 id="h-workers">Workers</h2>
<div class="scroll" tabindex="0" role="region" aria-label="Table of workers"><table id="workers"><caption>A row for each child slot in use</caption>
<thead><tr>${WORKER_COLUMNS.map((column) => html`<th scope="col">${column}</th>`)}</tr></thead>
<tbody data-table="workers">${rowsOf(model, 'workers')}</tbody></table></div></section>
${upstreamSection(document, model)}<section aria-labelledby="h-conns"><h2 id="h-conns">Connections</h2>${filterForm(query)}
<div class="scroll" tabindex="0" role="region" aria-label="Table of connections"><table id="connections"><caption data-part="listed">${part('listed')}</caption>
<thead><tr>${CONNECTION_COLUMNS.map((column) => columnHead(column, query))}</tr></thead>
<tbody data-table="connections">${rowsOf(model, 'connections')}</tbody></table></div></section>
<div class="two"><section aria-labelledby="h-starts"><h2 id="h-starts">Children that were started</h2><div data-part="starts">${part('starts')}</div></section>
<section aria-labelledby="h-culls"><h2 id="h-culls">Workers that were one too many</h2><div data-part="culls">${part('culls')}</div></section>
<section aria-labelledby="h-exits"><h2 id="h-exits">Children that ended</h2><div data-part="exits">${part('exits')}</div></section>
<section aria-labelledby="h-closed"><h2 id="h-closed">Connections that were closed</h2><div data-part="closed">${part('closed')}</div></section></div>
${place.actionsPath === null ? html`` : actionForms(place.actionsPath, document)}</main>
<footer>Also as ${place.links.map(([text, href], index) => html`${index > 0 ? ', ' : ''}<a href="${href}">${text}</a>`)}</footer>
${live ? html`<script>${trusted(SCRIPT)}</script>` : html``}</body></html>
`.html;
}

/** What of the page changes; the event stream compares two of them. */
export const statusModel = (document: StatusDocument, query: StatusQuery): PageModel =>
  pageModel(document, query, connectionDetail(document, query));
