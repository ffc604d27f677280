// Bars over time: what went well below, what failed on top of it.

import { h, s } from './dom.js';
import { count, minutes, t } from './words.js';

const HEIGHT = 190;
const LEFT = 44;
const BOTTOM = 24;
const TOP = 10;

/** Return a round number that is not smaller. */
function ceiling(value) {
  const step = 10 ** Math.floor(Math.log10(Math.max(value, 4)));
  return [1, 2, 4, 5, 10].map((one) => one * step).find((one) => one >= value);
}

/**
 * Draw counts over time.
 * @param good the lower part of each bar; @param failed the upper part, or nothing
 */
export function bars({ title, good, failed, start, step }) {
  const full = innerWidth < 700 ? 340 : 720;
  const tops = good.map((one, index) => one + (failed?.[index] || 0));
  const most = ceiling(Math.max(...tops, 1));
  const wide = (full - LEFT) / good.length;
  const tall = HEIGHT - BOTTOM - TOP;
  const y = (value) => TOP + tall * (1 - value / most);
  const at = (index) => Date.parse(start) + index * step * 1000;
  const drawn = [];
  good.forEach((one, index) => {
    if (!tops[index]) return;
    const x = LEFT + index * wide + wide * 0.12;
    const width = Math.max(wide * 0.76, 1);
    const bad = failed?.[index] || 0;
    drawn.push(s('g', {}, s('title', {}, told(minutes(at(index)), one, failed && bad)),
      one > 0 && s('rect', { class: 'good', x, width, y: y(one), height: y(0) - y(one), rx: 1 }),
      bad > 0 && s('rect', { class: 'failed', x, width, y: y(one + bad), height: y(one) - y(one + bad),
        rx: 1 })));
  });
  const all = tops.reduce((sum, one) => sum + one, 0);
  const bad = (failed || []).reduce((sum, one) => sum + one, 0);
  return s('svg', { class: 'chart', viewBox: `0 0 ${full} ${HEIGHT}`, role: 'img',
    'aria-label': `${title}: ${told('', all - bad, failed && bad)}` },
  [0, 0.5, 1].map((part) => [
    s('line', { class: 'grid', x1: LEFT, x2: full, y1: y(most * part), y2: y(most * part) }),
    (part !== 0.5 || most > 1) && s('text', { x: LEFT - 8, y: y(most * part) + 4,
      'text-anchor': 'end' }, count(most * part)),
  ]),
  drawn,
  (full < 700 ? [0, 0.5, 1] : [0, 0.25, 0.5, 0.75, 1]).map((part) => s('text', {
    x: LEFT + (full - LEFT) * part, y: HEIGHT - 6,
    'text-anchor': part === 0 ? 'start' : part === 1 ? 'end' : 'middle',
  }, minutes(at(good.length * part)))));
}

function told(when, good, bad) {
  const words = bad === undefined || bad === null ? t('chart.count', { n: count(good) })
    : t('chart.both', { n: count(good), bad: count(bad) });
  return when ? `${when}: ${words}` : words;
}

/** What the two colours mean. */
export const legend = () => h('div', { class: 'legend', 'aria-hidden': 'true' },
  h('span', {}, t('chart.sent')), h('span', { class: 'failed' }, t('chart.failed')));
