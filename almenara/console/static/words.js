// The texts in the reader's language, and how it writes times and numbers.

import en from './en.js';
import es from './es.js';

const ALL = { en, es };
const KEPT = 'almenara.language';

function chosen() {
  const kept = localStorage.getItem(KEPT);
  if (kept in ALL) return kept;
  return navigator.languages.map((one) => one.slice(0, 2)).find((one) => one in ALL) || 'en';
}

/** The language that is shown. */
export const language = chosen();
export const languages = { en: 'English', es: 'Español' };

/** Show another language from the next load on. */
export function speak(name) {
  localStorage.setItem(KEPT, name);
}

/** Return a text by its key; `{name}` in it is replaced. */
export function t(key, values = {}) {
  const text = ALL[language][key] ?? key;
  return text.replace(/\{(\w+)\}/g, (whole, name) => (name in values ? values[name] : whole));
}

/** Return the word for one of the API's values, or the value where there is none. */
export function word(group, value) {
  return ALL[language][`${group}.${value}`] ?? value ?? '';
}

const COUNT = new Intl.NumberFormat(language);
const HOURS = new Intl.DateTimeFormat(language, {
  hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23',
});
const MINUTES = new Intl.DateTimeFormat(language, {
  hour: '2-digit', minute: '2-digit', hourCycle: 'h23',
});
const DAY = new Intl.DateTimeFormat(language, { day: 'numeric', month: 'short' });
const YEAR = new Intl.DateTimeFormat(language, {
  dateStyle: 'medium', timeStyle: 'medium', hourCycle: 'h23',
});

export const count = (value) => COUNT.format(value);
export const minutes = (value) => MINUTES.format(new Date(value));

/** Write a moment as shortly as it stays clear. */
export function moment(text) {
  const at = new Date(text);
  const now = new Date();
  if (at.toDateString() === now.toDateString()) return HOURS.format(at);
  if (at.getFullYear() === now.getFullYear()) return `${DAY.format(at)} ${HOURS.format(at)}`;
  return YEAR.format(at);
}

/** Write a moment in full. */
export const exactly = (text) => YEAR.format(new Date(text));

/** Write how long something takes or took. */
export function duration(seconds) {
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 10) return `${COUNT.format(Math.round(seconds * 10) / 10)} s`;
  if (seconds < 120) return `${Math.round(seconds)} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172_800) return `${Math.round(seconds / 3600)} h`;
  return t('days', { n: COUNT.format(Math.round(seconds / 86_400)) });
}
