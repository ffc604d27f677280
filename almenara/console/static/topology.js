// The picture of the routes: topics, how each chooses, and the channels.

import { brief } from './conditions.js';
import { h, s } from './dom.js';
import { link } from './place.js';
import { count, t } from './words.js';

const ROW = 58;
const TALL = 40;
/** How wide the picture and its boxes are, and how much of a name they show. */
const LARGE = { width: 1080, box: 210, letters: 26, labels: true };
const SMALL = { width: 350, box: 118, letters: 15, labels: false };

const cut = (text, most) => (text.length > most ? `${text.slice(0, most - 1)}…` : text);

/** Draw topics and channels; `volume` gives the day's figures of a line, or nothing. */
export function topology(topics, channels, volume) {
  const size = innerWidth < 700 ? SMALL : LARGE;
  const rows = Math.max(topics.length, channels.length, 1);
  const height = rows * ROW + 8;
  const spread = (many, index) => 4 + ROW * (index + (rows - many) / 2);
  const right = new Map(untangled(topics, channels).map((one, index) => [one.name, spread(channels.length, index)]));
  const lines = [];
  const labels = [];
  topics.forEach((topic, index) => {
    const from = spread(topics.length, index) + TALL / 2;
    topic.channels.forEach((step, place) => {
      if (!right.has(step.channel)) return;
      const to = right.get(step.channel) + TALL / 2;
      const drawn = line(size, topic, step, place, [from, to], volume(topic.name, step.channel));
      lines.push(drawn.path);
      labels.push(drawn.label);
    });
  });
  return h('div', { class: 'scroll', tabindex: '0', role: 'group', 'aria-label': t('routes.picture') },
    s('svg', { class: 'map', viewBox: `0 0 ${size.width} ${height}` },
      lines, labels,
      topics.map((one, index) => topicBox(size, one, spread(topics.length, index))),
      channels.map((one) => channelBox(size, one, right.get(one.name)))));
}

/** Put each channel about as high as the topics that lead to it, so that fewer lines cross. */
function untangled(topics, channels) {
  const height = (channel) => {
    const from = topics.flatMap((topic, index) => (
      topic.channels.some((step) => step.channel === channel.name) ? [index] : []));
    return from.length ? from.reduce((all, one) => all + one, 0) / from.length : topics.length;
  };
  return [...channels].sort((one, other) => height(one) - height(other));
}

function line(size, topic, step, place, [from, to], figures) {
  const start = size.box + 2;
  const end = size.width - size.box - 2;
  const middle = (start + end) / 2;
  const all = figures ? figures.sent + figures.failed : 0;
  const failing = figures?.failed > 0;
  const width = all ? Math.min(1.5 + Math.log10(all) * 1.8, 9) : 1.2;
  const path = s('path', {
    class: `line ${failing ? 'failing' : all ? '' : 'none'}`, 'stroke-width': width,
    'stroke-dasharray': topic.strategy === 'failover' && place > 0 ? '5 4' : null,
    d: `M${start} ${from} C${middle} ${from} ${middle} ${to} ${end} ${to}`,
  });
  // Further along where several begin together, so that their words stand apart.
  const along = 0.62 + (place % 3) * 0.1;
  const [x, y] = bezier(along, [start, from], [middle, from], [middle, to], [end, to]);
  const words = [
    size.labels && topic.strategy === 'failover' && s('tspan', {}, `${place + 1}. `),
    size.labels && step.condition && s('tspan', {}, `${cut(brief(step.condition), 26)} `),
    figures?.sent > 0 && s('tspan', {}, `${count(figures.sent)} `),
    failing && s('tspan', { class: 'bad' }, size.labels
      ? t('routes.failed', { n: count(figures.failed) }) : `✕${count(figures.failed)}`),
  ];
  return { path, label: s('text', {
    class: 'minor label', x, y: y - 5, 'text-anchor': 'middle',
  }, words) };
}

function bezier(at, ...points) {
  let left = points;
  while (left.length > 1) {
    left = left.slice(1).map((one, index) => [
      left[index][0] + (one[0] - left[index][0]) * at, left[index][1] + (one[1] - left[index][1]) * at,
    ]);
  }
  return left[0];
}

function topicBox(size, topic, y) {
  const second = topic.enabled ? t(`strategy.${topic.strategy}`) : t('disabled');
  return box(size, link('routes', { topic: topic.name }), 1, y, topic.name, second,
    `${t('routes.topic')} ${topic.name}, ${second}`, topic.enabled ? '' : 'offline');
}

function channelBox(size, channel, y) {
  const paused = channel.state === 'paused';
  const second = !channel.enabled ? t('disabled')
    : paused ? t('channel.status.paused') : channel.plugin;
  return box(size, link('routes', { channel: channel.name }), size.width - size.box - 2, y, channel.name, second,
    `${t('routes.channel')} ${channel.name}, ${second}`,
    `channel ${paused ? 'paused' : ''} ${channel.enabled ? '' : 'offline'}`);
}

function box(size, href, x, y, first, second, label, look) {
  return s('a', { href, class: look, 'aria-label': label },
    s('rect', { class: 'box', x, y, width: size.box, height: TALL, rx: 8 }),
    s('text', { x: x + 12, y: y + 17, 'font-weight': 600 }, cut(first, size.letters), s('title', {}, first)),
    s('text', { class: 'minor', x: x + 12, y: y + 32 }, cut(second, size.letters + 2)));
}
