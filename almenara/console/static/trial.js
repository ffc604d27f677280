// A test message through a channel, and what really came of it.

import { call, sentence } from './api.js';
import { h, put } from './dom.js';
import { link } from './place.js';
import { t, word } from './words.js';

/** Send a test message through a channel, and show what really came of it. */
export async function test(button, channel, place) {
  button.disabled = true;
  put(place, h('p', { class: 'soft' }, t('channel.testing')));
  try {
    const story = await call('POST', `v1/channels/${encodeURIComponent(channel.name)}/test`);
    const delivery = story.deliveries[0];
    const last = delivery?.attempts.at(-1);
    const good = delivery?.status === 'sent';
    put(place, h('p', { class: `note ${good ? 'good' : last ? 'bad' : 'warn'}` },
      good ? t('channel.tested') : last?.error || word('delivery.status', delivery?.status), ' ',
      last?.reference && h('code', {}, last.reference), ' ',
      h('a', { href: link('log', { message: story.id }) }, t('channel.story'))));
  } catch (error) {
    put(place, h('p', { class: 'note bad' }, sentence(error)));
  }
  button.disabled = false;
}
