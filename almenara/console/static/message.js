// One message: what came, what happened to it in order, and what can be done about it.

import { call, save, sentence } from './api.js';
import { h, later, put, toast } from './dom.js';
import { link } from './place.js';
import { badge, kind } from './states.js';
import { count, duration, exactly, moment, t, word } from './words.js';

const WAITING = ['pending', 'sending', 'held'];
const FINAL = ['sent', 'failed', 'cancelled'];
const GOOD = ['sent', 'delivered'];

/** Show it in `side`; `close` is called when the reader has had enough. */
export function message(side, id, close) {
  const reading = new AbortController();
  const inner = h('div', { class: 'inner' });
  const heading = h('h2', { tabindex: '-1' }, t('message.title'));
  const leave = (event) => {
    if (event.key === 'Escape' && !event.defaultPrevented) close();
  };
  put(side, h('div', { class: 'head' }, heading,
    h('button', { onclick: close, 'aria-label': t('close') }, '✕')), inner);
  addEventListener('keydown', leave);
  const soon = later(250, load);
  load(true);

  async function load(first = false) {
    try {
      draw(await call('GET', `v1/messages/${id}`, null, { signal: reading.signal }));
    } catch (error) {
      if (error.name === 'AbortError') return;
      put(inner, h('p', { class: 'note bad', role: 'alert' }, sentence(error)));
    }
    if (first === true) heading.focus({ preventScroll: true });
  }

  async function act(button, path, done) {
    button.disabled = true;
    try {
      await call('POST', path);
      toast(done);
    } catch (error) {
      toast(sentence(error));
    }
    await load();
  }

  const acting = (text, path, done, look = '') => h('button', {
    class: look, onclick: (event) => act(event.currentTarget, path, done),
  }, text);

  function draw(story) {
    const states = story.deliveries.map((one) => one.status);
    heading.textContent = story.title || t('message.title');
    put(inner,
      h('div', { class: 'buttons' },
        badge('message', story.status),
        h('span', { class: 'soft' }, exactly(story.created_at))),
      h('div', { class: 'buttons' },
        states.some((one) => one === 'failed' || one === 'cancelled') && acting(t('message.resend'),
          `v1/messages/${id}/resend`, t('message.resent'), 'main'),
        states.includes('sent') && acting(t('message.resend.all'),
          `v1/messages/${id}/resend?sent_too=true`, t('message.resent')),
        states.some((one) => WAITING.includes(one)) && acting(t('message.cancel'),
          `v1/messages/${id}/cancel`, t('message.cancelled'), 'danger')),
      story.redacted_at
        ? h('p', { class: 'note' }, t('message.redacted', { at: moment(story.redacted_at) }))
        : h('div', { class: 'prose', tabindex: '0', role: 'region', 'aria-label': t('write.description') },
          story.description),
      facts(story),
      h('section', {}, h('h3', {}, t('message.timeline')),
        h('ol', { class: 'timeline' }, story.timeline.map(entry))),
      h('section', { class: 'form' },
        h('h3', {}, t('message.deliveries')),
        story.deliveries.length ? story.deliveries.map(delivery)
          : h('p', { class: 'soft' }, t('message.none'))));
  }

  function entry(one) {
    const look = one.event.includes('fail') || one.event === 'held' ? 'bad'
      : GOOD.includes(one.event) ? 'good' : '';
    return h('li', { class: look },
      h('div', { class: 'small soft' }, h('time', { datetime: one.at, title: exactly(one.at) },
        moment(one.at)), ' · ', word('event', one.event)),
      h('div', {}, one.text));
  }

  function delivery(one) {
    const path = `v1/deliveries/${one.id}`;
    return h('article', { class: 'delivery' },
      h('div', { class: 'head' },
        h('h3', {}, one.channel), one.resend_of && h('span', { class: 'soft small' }, t('message.again')),
        badge('delivery', one.status)),
      one.reason && h('p', {}, word('reason', one.reason)),
      one.status === 'pending' && h('p', { class: 'soft' }, t('message.due', { at: moment(one.due_at) })),
      one.attempts.map(attempt),
      h('div', { class: 'buttons' },
        one.status === 'held' && acting(t('delivery.release'), `${path}/release`, t('delivery.released')),
        FINAL.includes(one.status) && acting(t('delivery.resend'), `${path}/resend`, t('message.resent')),
        WAITING.includes(one.status) && acting(t('delivery.cancel'), `${path}/cancel`,
          t('message.cancelled'), 'danger')));
  }

  return {
    id,
    changed: soon,
    leave() { reading.abort(); soon.stop(); removeEventListener('keydown', leave); },
  };
}

function attempt(one) {
  return h('div', { class: `attempt ${kind(one.outcome)}` },
    h('div', { class: 'buttons' },
      h('span', { class: 'small soft' }, t('attempt.number', { n: one.number })),
      badge('attempt', one.outcome),
      h('span', { class: 'small soft' }, moment(one.started_at), ' · ',
        duration(one.duration_ms / 1000)),
      one.late && h('span', { class: 'small soft' }, t('attempt.late'))),
    one.error && h('p', { class: 'wrap' }, one.error),
    one.detail && h('p', { class: 'soft small wrap' }, one.detail),
    one.reference && h('p', { class: 'small wrap' }, h('span', { class: 'soft' },
      `${t('attempt.reference')} `), h('code', {}, one.reference)));
}

function facts(story) {
  const json = (value) => (Object.keys(value || {}).length
    ? h('pre', {}, JSON.stringify(value, null, 2)) : null);
  const rows = {
    topic: story.topic && h('a', { href: link('log', { topic: story.topic }) }, story.topic),
    sender: story.sender,
    reference: story.reference,
    to: story.to.join(', '),
    priority: story.priority === 3 ? null : String(story.priority),
    tags: story.tags.join(', '),
    format: story.format === 'text' ? null : story.format,
    send_at: story.send_at && exactly(story.send_at),
    expires_at: story.expires_at && exactly(story.expires_at),
    attachments: story.attachments.length && story.attachments.map((one, index) => h('div', {},
      h('button', { onclick: () => save(`v1/messages/${story.id}/attachments/${index + 1}`, one.name)
        .catch((error) => toast(sentence(error))) }, `${one.name} (${count(one.size)} B)`))),
    data: json(story.data),
    metadata: json(story.metadata),
    id: h('code', {}, story.id),
  };
  return h('dl', { class: 'facts' }, Object.entries(rows).filter(([, value]) => value)
    .map(([name, value]) => [h('dt', {}, t(`write.${name}`)), h('dd', {}, value)]));
}
