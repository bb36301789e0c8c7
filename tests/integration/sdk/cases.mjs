// SPDX-License-Identifier: Apache-2.0
// What the Node clients share; see cases.py for the argument and what is printed.
export const TOOL = {
  type: 'object', properties: { city: { type: 'string' }, days: { type: 'integer' } }, required: ['city', 'days'], additionalProperties: false,
};
export const EMPTY = { type: 'object', properties: {}, additionalProperties: false };
export const ARGS = { city: 'Zürich', days: 7 };
export const SCHEMA = {
  type: 'object', properties: { name: { type: 'string' }, n: { type: 'integer' }, tags: { type: 'array', items: { type: 'string', enum: ['a', 'b'] } } },
  required: ['name', 'n', 'tags'], additionalProperties: false,
};
export const VALUE = { name: 'Zürich', n: 7, tags: ['a'] };
export const HELLO = 'Hello, grüezi';
export const PNG = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==';

export function same(got, wanted, what = '') {
  const [a, b] = [JSON.stringify(got), JSON.stringify(wanted)];
  if (a !== b) throw new Error(`${what}: ${a}, wanted ${b}`);
}

export function begins(text, what = '') {
  if (typeof text !== 'string' || !text.startsWith('Mock answer to: ' + HELLO)) throw new Error(`${what}: ${JSON.stringify(text)}`);
}

// The error that fn ends with.
export async function fails(fn, what = '') {
  try {
    await fn();
  } catch (e) {
    return e;
  }
  throw new Error(`${what}: no error`);
}

export async function run(cases) {
  const want = JSON.parse(process.argv[2]);
  const only = process.argv.slice(3);
  const out = {};
  for (const p of want.providers) {
    out[p.name] = {};
    for (const [name, fn] of Object.entries(cases(want, p))) {
      if (only.length > 0 && !only.includes(name)) continue;
      try {
        await fn();
        out[p.name][name] = null;
      } catch (e) {
        out[p.name][name] = String(e?.stack ?? e).slice(0, 1500) + (e?.responseBody ? ' | ' + e.responseBody : '');
      }
    }
  }
  console.log(JSON.stringify(out));
}
