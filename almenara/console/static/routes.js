// The view Routes: the picture, the lists below it, and the forms beside them.

import { call, sentence, several } from './api.js';
import { channelForm } from './channelform.js';
import { brief } from './conditions.js';
import { h, put, toast } from './dom.js';
import { summed } from './figures.js';
import { go, link } from './place.js';
import { badge } from './states.js';
import { topicForm } from './topicform.js';
import { topology } from './topology.js';
import { test } from './trial.js';
import { count, moment, t, word } from './words.js';

/** Show it. */
export function routes(main, first) {
  let values = first;
  let known = null;
  let gone = false;
  const said = h('div', { role: 'alert' });
  const picture = h('section', { class: 'card' });
  const topics = h('section', { class: 'card' });
  const channels = h('section', { class: 'card' });
  const side = h('aside', { class: 'card side', hidden: true });
  const split = h('div', { class: 'split' },
    h('div', { class: 'stack' }, said, picture, h('div', { class: 'columns' }, topics, channels)),
    side);
  put(main, h('div', { class: 'head' }, h('h1', {}, t('nav.routes'))), split);
  load();

  async function load({ forms = true } = {}) {
    const read = await several({
      topics: call('GET', 'v1/topics'),
      channels: call('GET', 'v1/channels'),
      plugins: call('GET', 'v1/plugins'),
      stats: call('GET', 'v1/stats?period=day'),
    });
    if (gone) return;
    const wrong = read.topics.error || read.channels.error || read.plugins.error;
    put(said, wrong && h('p', { class: 'note bad' }, sentence(wrong)));
    if (wrong) return;
    known = {
      topics: read.topics.data, channels: read.channels.data, plugins: read.plugins.data,
      broken: read.plugins.broken, stats: read.stats.error ? null : read.stats,
    };
    draw(read.stats.error);
    if (forms) panel();
  }

  function draw(withoutFigures) {
    const lines = summed(known.stats, (one) => JSON.stringify([one.topic, one.channel]));
    const byChannel = summed(known.stats, (one) => one.channel);
    const byTopic = summed(known.stats, (one) => one.topic);
    put(picture,
      h('div', { class: 'head' }, h('h2', {}, t('routes.today')),
        withoutFigures && h('span', { class: 'soft small' }, withoutFigures.status === 404
          ? t('health.nofigures') : sentence(withoutFigures))),
      known.topics.length || known.channels.length
        ? topology(known.topics, known.channels, (topic, channel) => lines.get(
          JSON.stringify([topic, channel])))
        : h('p', { class: 'empty' }, t('routes.empty')));
    put(topics,
      h('div', { class: 'head' }, h('h2', {}, t('routes.topics')),
        h('button', { onclick: () => go('routes', { topic: '+' }) }, t('routes.newtopic'))),
      h('ul', { class: 'items' }, known.topics.map((one) => topicItem(one, byTopic.get(one.name)))));
    put(channels,
      h('div', { class: 'head' }, h('h2', {}, t('routes.channels')),
        h('button', { onclick: () => go('routes', { channel: '+' }) }, t('routes.newchannel'))),
      h('ul', { class: 'items' }, known.channels.map((one) => channelItem(one, byChannel.get(one.name)))));
  }

  const volume = (figures) => figures && h('span', { class: 'small soft' },
    t('routes.sent', { n: count(figures.sent) }),
    figures.failed ? ` · ${t('routes.failed', { n: count(figures.failed) })}` : '');

  function topicItem(one, figures) {
    return h('li', {},
      h('div', { class: 'row' },
        h('a', { href: link('routes', { topic: one.name }) }, one.name),
        h('span', { class: 'soft small' }, t(`strategy.${one.strategy}`)),
        !one.enabled && badge('channel', 'disabled'),
        volume(figures),
        h('a', { class: 'push small', href: link('write', { topic: one.name }) }, t('routes.write'))),
      h('div', { class: 'small wrap' }, one.channels.length ? one.channels.map((step, index) => [
        index ? (one.strategy === 'failover' ? ' → ' : ', ') : '', step.channel,
        step.condition && h('span', { class: 'soft' }, ` (${brief(step.condition)})`),
      ]) : h('span', { class: 'soft' }, t('routes.nochannels'))));
  }

  function channelItem(one, figures) {
    const state = one.enabled ? one.state : 'disabled';
    const outcome = h('div', { role: 'status', class: 'small wrap' });
    return h('li', {},
      h('div', { class: 'row' },
        h('a', { href: link('routes', { channel: one.name }) }, one.name),
        h('span', { class: 'soft small' }, one.plugin),
        badge('channel', state),
        volume(figures),
        h('span', { class: 'push buttons' },
          one.state === 'paused' && h('button', { class: 'main', onclick: (event) => change(
            event.currentTarget, one, 'resume', t('channel.resumed')) }, t('channel.resume')),
          state === 'active' && h('button', { class: 'plain', 'aria-label':
            `${t('channel.pause')} ${one.name}`, onclick: (event) => change(event.currentTarget, one,
            'pause', t('channel.pausedone')) }, t('channel.pause')),
          state === 'active' && h('button', { 'aria-label': `${t('channel.test')} ${one.name}`,
            onclick: (event) => test(event.currentTarget, one, outcome) }, t('channel.test')))),
      one.state === 'paused' && h('p', { class: 'small' }, word('paused', one.state_reason),
        one.state_changed_at && ` (${moment(one.state_changed_at)})`),
      one.state === 'paused' && one.state_detail && h('p', { class: 'small soft wrap' },
        one.state_detail),
      one.verify_outcome === 'failed' && h('p', { class: 'small wrap' }, t('channel.drillfailed', {
        at: moment(one.verified_at) }), ' ', one.verify_detail),
      outcome);
  }

  async function change(button, channel, action, done) {
    button.disabled = true;
    try {
      await call('POST', `v1/channels/${encodeURIComponent(channel.name)}/${action}`);
      toast(done);
    } catch (error) { toast(sentence(error)); }
    // A form beside it may be half filled in, unless it is this channel's.
    await load({ forms: values.channel === channel.name });
  }

  function panel() {
    if (!known) return;
    const { topic, channel } = values;
    split.classList.toggle('open', Boolean(topic || channel));
    side.hidden = !(topic || channel);
    const close = () => go('routes');
    const done = async (next) => { go('routes', next); await load(); };
    if (topic) topicForm(side, known, topic, close, done);
    else if (channel) channelForm(side, known, channel, close, done);
    else put(side);
  }

  const leave = (event) => { if (event.key === 'Escape' && !side.hidden) go('routes'); };
  addEventListener('keydown', leave);
  return {
    follow(next) {
      const same = next.topic === values.topic && next.channel === values.channel;
      values = next;
      if (!same) panel();
    },
    leave() { gone = true; removeEventListener('keydown', leave); },
  };
}
