// Speaks to the API: one request, a stream of events, and what went wrong in a sentence.

import { session } from './session.js';
import { t } from './words.js';

const ROOT = new URL('.', document.baseURI);

/** What the server refused, in its own words (RFC 9457). */
export class Problem extends Error {
  constructor(status, body) {
    super(body.detail || t('error.status', { status }));
    this.status = status;
    this.code = body.code || '';
    this.errors = body.errors || [];
  }
}

let ahead = 0;

/** The server's time, in milliseconds: this machine's clock may be wrong. */
export const serverNow = () => Date.now() + ahead;

/** Make one request; JSON in and out. */
export async function call(method, path, body, options = {}) {
  let answer = await once(method, path, body, options);
  if (answer.status === 401 && await session.renew()) {
    answer = await once(method, path, body, options);
  }
  if (answer.status === 204) return null;
  const content = await answer.json().catch(() => ({}));
  if (answer.ok) return content;
  if (answer.status === 401) session.refused(content.detail);
  throw new Problem(answer.status, content);
}

async function once(method, path, body, { signal, headers = {} }) {
  const given = { ...headers, ...session.headers() };
  if (body !== undefined && body !== null) given['Content-Type'] = 'application/json';
  try {
    const answer = await fetch(new URL(path, ROOT), {
      method, signal, headers: given, cache: 'no-store', credentials: 'omit',
      body: body === undefined || body === null ? undefined : JSON.stringify(body),
    });
    const told = Date.parse(answer.headers.get('Date'));
    if (told) ahead = told - Date.now();
    return answer;
  } catch (error) {
    if (error.name === 'AbortError') throw error;
    throw new Problem(0, { detail: t('error.unreachable'), code: 'unreachable' });
  }
}

/** Let the browser save a file: it needs the token, so that no link can fetch it. */
export async function save(path, name) {
  const answer = await once('GET', path, null, {});
  if (!answer.ok) throw new Problem(answer.status, await answer.json().catch(() => ({})));
  const address = URL.createObjectURL(await answer.blob());
  const link = document.createElement('a');
  link.href = address;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
}

/** Return `path?name=value&...` of what has a value. */
export function query(path, values) {
  const written = new URLSearchParams();
  for (const [name, value] of Object.entries(values)) {
    if (value !== undefined && value !== null && value !== '') written.set(name, value);
  }
  const text = written.toString();
  return text ? `${path}?${text}` : path;
}

/** Say in a sentence what went wrong. */
export function sentence(error) {
  if (error instanceof Problem) {
    if (error.status === 403) return `${t('error.forbidden')} ${error.message}`;
    return error.message;
  }
  return t('error.unexpected', { error: error.message });
}

/** Read several lists at once; each that fails is an error in its place. */
export async function several(requests) {
  const names = Object.keys(requests);
  const settled = await Promise.allSettled(Object.values(requests));
  return Object.fromEntries(names.map((name, index) => {
    const one = settled[index];
    return [name, one.status === 'fulfilled' ? one.value : { error: one.reason }];
  }));
}

/**
 * Read an event stream until it ends.
 * @param hear `opened()`, `alive()` whenever something comes, `event(name, data)`
 */
export async function stream(path, signal, hear) {
  const options = { signal, headers: { Accept: 'text/event-stream' } };
  let answer = await once('GET', path, null, options);
  if (answer.status === 401 && await session.renew()) answer = await once('GET', path, null, options);
  if (!answer.ok) {
    const content = await answer.json().catch(() => ({}));
    if (answer.status === 401) session.refused(content.detail);
    throw new Problem(answer.status, content);
  }
  hear.opened();
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let left = '';
  for (;;) {
    hear.alive();
    const { value, done } = await reader.read();
    if (done) return;
    left += value.replaceAll('\r', '');
    const blocks = left.split('\n\n');
    left = blocks.pop();
    for (const block of blocks) tell(block, hear);
  }
}

function tell(block, hear) {
  let name = 'message';
  const data = [];
  for (const line of block.split('\n')) {
    if (line.startsWith('event:')) name = line.slice(6).trim();
    else if (line.startsWith('data:')) data.push(line.slice(5).trimStart());
  }
  if (data.length) hear.event(name, data.join('\n'));
}
