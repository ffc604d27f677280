// Follows the log as it grows; after a break it reads the last seconds again, so that none is lost.

import { call, query, stream } from './api.js';

const AGAIN_SECONDS = 10;
const FIRST_WAIT = 500;
const LONGEST_WAIT = 15_000;

/**
 * Follow what is new or has changed.
 * @param filters what the server can filter by: topic, channel
 * @param each gets one message; the same one may come again
 * @param say gets 'on', 'waiting', or 'none' where the server has no stream
 * @returns a function that ends it
 */
export function follow(filters, each, say) {
  const ending = new AbortController();
  run(filters, each, say, ending.signal);
  return () => ending.abort();
}

async function run(filters, each, say, signal) {
  let wait = FIRST_WAIT;
  let broken = null;
  while (!signal.aborted) {
    try {
      await stream(query('v1/stream', filters), signal, (name, data) => {
        if (name === 'open') {
          say('on');
          wait = FIRST_WAIT;
          if (broken) reread(filters, each, signal, broken);
        } else if (name === 'message') {
          each(JSON.parse(data));
        }
      });
    } catch (error) {
      if (signal.aborted) return;
      if ([401, 403, 404, 422].includes(error.status)) { say('none', error); return; }
    }
    broken ||= Date.now();
    say('waiting');
    // Not all at once, where many pages follow one server that starts again.
    await sleep(wait * (0.5 + Math.random()), signal);
    wait = Math.min(wait * 2, LONGEST_WAIT);
  }

  async function reread(given, to, until, since) {
    broken = null;
    const from = new Date(since - AGAIN_SECONDS * 1000).toISOString();
    let cursor = null;
    const found = [];
    for (let page = 0; page < 4; page += 1) {
      const read = await call('GET', query('v1/messages', { ...given, since: from, limit: 250, cursor }),
        null, { signal: until }).catch(() => null);
      if (!read) break;
      found.push(...read.data);
      cursor = read.next_cursor;
      if (!cursor) break;
    }
    found.reverse().forEach(to);
  }
}

function sleep(milliseconds, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, milliseconds);
    signal.addEventListener('abort', () => { clearTimeout(timer); resolve(); }, { once: true });
  });
}
