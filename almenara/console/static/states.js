// How a state looks: one colour and shape for each kind, and its word.

import { h } from './dom.js';
import { word } from './words.js';

const KINDS = {
  sent: 'good', failed: 'bad', partial: 'warn', held: 'warn', no_route: 'warn',
  cancelled: 'off', temporary_error: 'warn', permanent_error: 'bad', rate_limited: 'warn',
  timeout: 'warn', unknown: 'warn', active: 'good', paused: 'warn', disabled: 'off',
  alive: 'good', gone: 'bad', broken: 'bad',
};

/** Return the class of a state: good, bad, warn, off, or none. */
export const kind = (state) => KINDS[state] || '';

/** Return a state as a badge; `group` is message, delivery, attempt or channel. */
export function badge(group, state) {
  return h('span', { class: `badge ${kind(state)}` }, word(`${group}.status`, state));
}
