// A condition in a few words, for the picture and the lists.

import { t } from './words.js';

const named = (name) => t(`write.${name}`).toLowerCase();
const several = (given, between) => [given].flat().join(between);

function part(name, wanted) {
  switch (name) {
    case 'priority':
      if (typeof wanted === 'number') return `${named('priority')} = ${wanted}`;
      return Object.entries(wanted).map(([test, limit]) => (
        `${named('priority')} ${test === 'at_least' ? '≥' : '≤'} ${limit}`)).join(', ');
    case 'tags':
      return Object.entries(wanted).map(([test, tags]) => (
        `${named('tags')} ${test === 'none' ? '∌' : '∋'} ${several(tags, test === 'all' ? ' & ' : ' | ')}`
      )).join(', ');
    case 'format':
      return `${named('format')} = ${several(wanted.in ?? wanted, ' | ')}`;
    case 'data':
      return Object.entries(wanted).flatMap(([path, tests]) => Object.entries(tests)
        .map(([test, value]) => (test === 'exists' ? `${value ? '∃' : '∄'} ${path}`
          : `${path} = ${several(value, ' | ')}`))).join(', ');
    case 'any': return wanted.map(brief).map((one) => `(${one})`).join(' | ');
    case 'all': return wanted.map(brief).map((one) => `(${one})`).join(' & ');
    case 'not': return `¬(${brief(wanted)})`;
    default: return JSON.stringify({ [name]: wanted });
  }
}

/** Write a condition shortly. */
export function brief(condition) {
  return Object.entries(condition || {}).map(([name, wanted]) => part(name, wanted)).join(', ');
}
