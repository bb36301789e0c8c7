// SPDX-License-Identifier: Apache-2.0
// The unmodified OpenAI SDK for Node, its helpers for tools and streams included.
import OpenAI from 'openai';
import { ARGS, EMPTY, HELLO, SCHEMA, TOOL, VALUE, begins, fails, run, same } from './cases.mjs';

const tools = [
  { type: 'function', function: { name: 'get_weather', description: 'Weather', parameters: TOOL } },
  { type: 'function', function: { name: 'get_time', parameters: EMPTY } },
];
// The same with functions to run.
const runnable = (seen) => tools.map((t) => ({
  type: 'function',
  function: { ...t.function, parse: JSON.parse, function: (args) => { seen.push([t.function.name, args]); return t.function.name === 'get_time' ? 'noon' : 'sunny'; } },
}));

function cases(want, p) {
  const client = new OpenAI({ baseURL: want.openai, apiKey: 'not-a-sluice-key', maxRetries: 0 });
  const messages = [{ role: 'user', content: HELLO }];
  const ask = (words = '', more = {}) => client.chat.completions.create({ model: p.model + words, messages, ...more });
  return {
    plain: async () => {
      const r = await ask();
      begins(r.choices[0].message.content);
      same(r.choices[0].finish_reason, 'stop');
    },
    stream: async () => {
      const s = client.chat.completions.stream({ model: p.model, messages, stream_options: { include_usage: true } });
      same(await s.finalContent(), (await ask()).choices[0].message.content);
      const usage = await s.totalUsage();
      if (!(usage.total_tokens > 0)) throw new Error(JSON.stringify(usage));
    },
    tools: async () => {
      const seen = [];
      const r = client.chat.completions.runTools({ model: p.model, messages, tools: runnable(seen) });
      same(await r.finalContent(), 'Tool results: sunny');
      same(seen, [['get_weather', ARGS]]);
    },
    tools_stream: async () => {
      const seen = [];
      const r = client.chat.completions.runTools({ model: p.model, messages, tools: runnable(seen), stream: true });
      same(await r.finalContent(), 'Tool results: sunny');
      same(seen, [['get_weather', ARGS]]);
    },
    parallel: async () => {
      const seen = [];
      const r = client.chat.completions.runTools({ model: p.model + '+parallel', messages, tools: runnable(seen), stream: true });
      same(await r.finalContent(), 'Tool results: sunny; noon');
      same(seen.map((s) => s[0]), ['get_weather', 'get_time']);
    },
    structured: async () => {
      const response_format = { type: 'json_schema', json_schema: { name: 'v', schema: SCHEMA, strict: true } };
      same(JSON.parse((await ask('', { response_format })).choices[0].message.content), VALUE);
    },
    errors: async () => {
      const base = p.model.split('/')[0] + '/';
      for (const [name, kind] of [['status-400', OpenAI.BadRequestError], ['status-401', OpenAI.AuthenticationError],
        ['status-404', OpenAI.NotFoundError], ['status-429', OpenAI.RateLimitError], ['status-500', OpenAI.InternalServerError]]) {
        const e = await fails(() => client.chat.completions.create({ model: base + name, messages }), name);
        if (!(e instanceof kind) || !e.error?.message) throw e;
      }
    },
    broken_streams: async () => {
      for (const words of ['+cut-after-3', '+error-event-after-3']) {
        await fails(async () => { for await (const _ of await ask(words, { stream: true })); }, words);
      }
    },
    embeddings: async () => {
      if (!p.embed) return;
      const r = await client.embeddings.create({ model: p.embed, input: ['a', 'b'] });
      same([r.data.length, r.data[0].embedding.length > 0], [2, true]);
    },
  };
}

await run(cases);
