// SPDX-License-Identifier: Apache-2.0
// The unmodified Anthropic SDK for Node.
import Anthropic from '@anthropic-ai/sdk';
import { ARGS, EMPTY, HELLO, SCHEMA, TOOL, VALUE, begins, fails, run, same } from './cases.mjs';

const tools = [{ name: 'get_weather', description: 'Weather', input_schema: TOOL }, { name: 'get_time', input_schema: EMPTY }];
const uses = (m) => m.content.filter((b) => b.type === 'tool_use');
const text = (m) => m.content.filter((b) => b.type === 'text').map((b) => b.text).join('');
const results = (m) => ({
  role: 'user', content: uses(m).map((b, i) => ({ type: 'tool_result', tool_use_id: b.id, content: ['sunny', 'noon'][i] })),
});

function cases(want, p) {
  const client = new Anthropic({ baseURL: want.anthropic, apiKey: 'not-a-sluice-key', maxRetries: 0 });
  const messages = [{ role: 'user', content: HELLO }];
  const body = (words, more) => ({ model: p.model + words, max_tokens: 3000, messages, ...more });
  const ask = (words = '', more = {}) => client.messages.create(body(words, more));
  const streamed = (words = '', more = {}) => client.messages.stream(body(words, more)).finalMessage();
  const loop = async (get, words, more = {}) => {
    const m = await get(words, { tools, ...more });
    same(m.stop_reason, 'tool_use');
    same(uses(m)[0].input, ARGS);
    const back = [...messages, { role: 'assistant', content: m.content }, results(m)];
    return [m, text(await get(words, { tools, ...more, messages: back }))];
  };
  return {
    plain: async () => {
      const m = await ask();
      begins(text(m));
      same(m.stop_reason, 'end_turn');
    },
    stream: async () => {
      const m = await streamed();
      same(text(m), text(await ask()));
      if (!(m.usage.output_tokens > 0)) throw new Error(JSON.stringify(m.usage));
    },
    tools: async () => same((await loop(ask, ''))[1], 'Tool results: sunny'),
    tools_stream: async () => same((await loop(streamed, ''))[1], 'Tool results: sunny'),
    parallel: async () => {
      const [m, final] = await loop(streamed, '+parallel');
      same(uses(m).map((b) => b.name), ['get_weather', 'get_time']);
      same(final, 'Tool results: sunny; noon');
    },
    runner: async () => {
      const run = async ({ city, days }) => `${city} ${days}`;
      const weather = { type: 'custom', name: 'get_weather', input_schema: TOOL, run, parse: (x) => x };
      for (const stream of [false, true]) {
        const r = client.beta.messages.toolRunner({ model: p.model, max_tokens: 3000, messages, tools: [weather], stream });
        same(text(await r.runUntilDone()), 'Tool results: Zürich 7');
      }
    },
    thinking: async () => {
      if (p.kind === 'openai') return;
      for (const get of [ask, streamed]) {
        const [m, final] = await loop(get, '', { thinking: { type: 'enabled', budget_tokens: 1024 } });
        same([m.content[0].type, m.content[0].thinking], ['thinking', ' hmm hmm hmm']);
        same(final, 'Tool results: sunny');
      }
    },
    structured: async () => {
      const output_config = { format: { type: 'json_schema', schema: SCHEMA } };
      same(JSON.parse(text(await ask('', { output_config }))), VALUE);
    },
    count_tokens: async () => {
      const r = await client.messages.countTokens({ model: p.model, messages, tools });
      if (!(r.input_tokens > 0)) throw new Error(JSON.stringify(r));
    },
    errors: async () => {
      const base = p.model.split('/')[0] + '/';
      for (const [name, kind] of [['status-400', Anthropic.BadRequestError], ['status-401', Anthropic.AuthenticationError],
        ['status-404', Anthropic.NotFoundError], ['status-429', Anthropic.RateLimitError], ['status-500', Anthropic.InternalServerError]]) {
        const e = await fails(() => client.messages.create({ model: base + name, messages, max_tokens: 10 }), name);
        if (!(e instanceof kind) || e.error?.type !== 'error') throw e;
      }
    },
    broken_streams: async () => {
      for (const words of ['+cut-after-3', '+error-event-after-3']) await fails(() => streamed(words), words);
    },
  };
}

await run(cases);
