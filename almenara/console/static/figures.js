// What the server counts, summed for the views.

const SENT = 'sent';

export const sum = (counts) => counts.reduce((all, one) => all + one, 0);

/** Sum the attempts by a key of each series: `{key: {sent, failed}}`. */
export function summed(stats, key) {
  const found = new Map();
  for (const series of stats?.attempts || []) {
    const name = key(series);
    const so = found.get(name) || { sent: 0, failed: 0 };
    so[series.outcome === SENT ? 'sent' : 'failed'] += sum(series.counts);
    found.set(name, so);
  }
  return found;
}

/** Sum series into one; `wanted` chooses them. */
export function together(all, length, wanted = () => true) {
  const counts = new Array(length).fill(0);
  for (const series of all || []) {
    if (wanted(series)) series.counts.forEach((one, index) => { counts[index] += one; });
  }
  return counts;
}

export const wasSent = (series) => series.outcome === SENT;
export const wasNot = (series) => series.outcome !== SENT;

/** How many steps the figures have. */
export const steps = (stats) => Math.round(
  (Date.parse(stats.end) - Date.parse(stats.start)) / 1000 / stats.step_seconds);
