// Follows the log as it grows; what may have been missed is read again, so that nothing is lost.

import { call, query, serverNow, stream } from './api.js';

const AGAIN_MILLISECONDS = 10_000;
const SILENCE_MILLISECONDS = 45_000;
const FIRST_WAIT = 500;
const LONGEST_WAIT = 15_000;
const MOST_PAGES = 4;
const HOPELESS = [401, 403, 404, 422];

/**
 * Follow what is new or has changed.
 * @param filters what the server can filter by: topic, channel
 * @param each gets one message; the same one may come again
 * @param say gets 'on', 'waiting', or 'none' where the server has no stream
 * @param oldest gives since when something may have changed that is shown, or nothing
 * @returns a function that ends it
 */
export function follow(filters, { each, say, oldest }) {
  const ending = new AbortController();
  run(filters, { each, say, oldest }, ending.signal);
  return () => ending.abort();
}

async function run(filters, { each, say, oldest }, signal) {
  let wait = FIRST_WAIT;
  let heard = serverNow();
  while (!signal.aborted) {
    const attempt = new AbortController();
    const both = AbortSignal.any([signal, attempt.signal]);
    let silence = 0;
    const alive = () => {
      heard = serverNow();
      clearTimeout(silence);
      silence = setTimeout(() => attempt.abort(), SILENCE_MILLISECONDS);
    };
    try {
      const since = heard - AGAIN_MILLISECONDS;
      await stream(query('v1/stream', filters), both, {
        opened() {
          say('on');
          wait = FIRST_WAIT;
          const from = Math.min(since, Date.parse(oldest()) || since);
          reread(filters, each, signal, from);
        },
        alive,
        event(name, data) {
          if (name === 'message') each(JSON.parse(data));
          else if (name === 'left_out') reread(filters, each, signal, heard - AGAIN_MILLISECONDS);
        },
      });
    } catch (error) {
      if (!signal.aborted && HOPELESS.includes(error.status)) { say('none', error); return; }
    }
    clearTimeout(silence);
    if (signal.aborted) return;
    say('waiting');
    // Not all at once, where many pages follow one server that starts again.
    await sleep(wait * (0.5 + Math.random()), signal);
    wait = Math.min(wait * 2, LONGEST_WAIT);
  }
}

/** Read the newest messages again, and give them in the order in which they came. */
async function reread(filters, each, signal, from) {
  const found = [];
  const asked = { ...filters, since: new Date(from).toISOString(), limit: 250 };
  try {
    for (let page = 0, cursor = null; page < MOST_PAGES; page += 1) {
      const read = await call('GET', query('v1/messages', { ...asked, cursor }), null, { signal });
      found.push(...read.data);
      cursor = read.next_cursor;
      if (!cursor) break;
    }
  } catch { return; }
  found.reverse().forEach(each);
}

function sleep(milliseconds, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, milliseconds);
    signal.addEventListener('abort', () => { clearTimeout(timer); resolve(); }, { once: true });
  });
}
