// SPDX-License-Identifier: Apache-2.0
// Vercel's AI SDK with its providers openai (chat), openai-compatible and anthropic: each case with all of them.
import { createAnthropic } from '@ai-sdk/anthropic';
import { createOpenAI } from '@ai-sdk/openai';
import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import { embedMany, generateObject, generateText, jsonSchema, stepCountIs, streamText, tool } from 'ai';
import { ARGS, EMPTY, HELLO, PNG, SCHEMA, TOOL, VALUE, begins, fails, run, same } from './cases.mjs';

globalThis.AI_SDK_LOG_WARNINGS = false;

function cases(want, p) {
  const openai = createOpenAI({ baseURL: want.openai, apiKey: 'x' });
  const compatible = createOpenAICompatible({ name: 'sluice', baseURL: want.openai, apiKey: 'x', supportsStructuredOutputs: true, includeUsage: true });
  const anthropic = createAnthropic({ baseURL: want.anthropic + '/v1', apiKey: 'x' });
  const models = { openai: (m) => openai.chat(m), compatible: (m) => compatible(m), anthropic: (m) => anthropic(m) };
  const tools = (seen) => ({
    get_weather: tool({ description: 'Weather', inputSchema: jsonSchema(TOOL), execute: async (args) => { seen.push(args); return 'sunny'; } }),
    get_time: tool({ inputSchema: jsonSchema(EMPTY), execute: async () => 'noon' }),
  });
  // fn(model maker, name) for each of the providers, with the name of the one that failed.
  const each = (fn) => async () => {
    for (const [name, make] of Object.entries(models)) {
      try {
        await fn((words = '') => make(p.model + words), name);
      } catch (e) {
        e.stack = `[${name}] ${e.stack}`;
        throw e;
      }
    }
  };
  const streamed = async (options) => {
    let broken;
    const r = streamText({ maxRetries: 0, onError: ({ error }) => { broken = error; }, ...options });
    const text = await r.text.then((t) => t, (e) => { throw broken ?? e; });
    if (broken) throw broken;
    return [text, await r.steps, await r.usage];
  };
  return {
    plain: each(async (model) => {
      const r = await generateText({ model: model(), prompt: HELLO, system: 'Be brief.', maxRetries: 0 });
      begins(r.text);
      same(r.finishReason, 'stop');
    }),
    stream: each(async (model) => {
      const [text, , usage] = await streamed({ model: model(), prompt: HELLO });
      begins(text);
      if (!(usage.outputTokens > 0)) throw new Error('usage ' + JSON.stringify(usage));
    }),
    tools: each(async (model) => {
      const seen = [];
      const r = await generateText({ model: model(), prompt: HELLO, tools: tools(seen), stopWhen: stepCountIs(3), maxRetries: 0 });
      same(seen, [ARGS]);
      same([r.text, r.steps.length], ['Tool results: sunny', 2]);
    }),
    tools_stream: each(async (model) => {
      const seen = [];
      const [text, steps] = await streamed({ model: model(), prompt: HELLO, tools: tools(seen), stopWhen: stepCountIs(3) });
      same(seen, [ARGS]);
      same([text, steps.length], ['Tool results: sunny', 2]);
    }),
    parallel: each(async (model) => {
      const [text] = await streamed({ model: model('+parallel'), prompt: HELLO, tools: tools([]), stopWhen: stepCountIs(3) });
      same(text, 'Tool results: sunny; noon');
    }),
    image: each(async (model) => {
      const content = [{ type: 'text', text: HELLO }, { type: 'image', image: Buffer.from(PNG, 'base64') }];
      begins((await generateText({ model: model(), messages: [{ role: 'user', content }], maxRetries: 0 })).text);
    }),
    choice: each(async (model) => {
      if (p.kind === 'ollama') return;
      const options = { model: model(), prompt: HELLO, tools: tools([]), maxRetries: 0 };
      same((await generateText({ ...options, toolChoice: { type: 'tool', toolName: 'get_time' } })).toolCalls[0].toolName, 'get_time');
      same((await generateText({ ...options, toolChoice: 'required' })).toolCalls.length, 1);
      begins((await generateText({ ...options, toolChoice: 'none' })).text);
    }),
    reasoning: each(async (model, name) => {
      if (p.kind === 'openai' || name === 'openai') return; // OpenAI shows none, and its provider reads none
      const providerOptions = { anthropic: { thinking: { type: 'enabled', budgetTokens: 1024 } }, sluice: { reasoningEffort: 'low' } };
      const r = await generateText({ model: model(), prompt: HELLO, tools: tools([]), stopWhen: stepCountIs(3), providerOptions, maxOutputTokens: 4000, maxRetries: 0 });
      same([r.text, r.steps[0].reasoningText], ['Tool results: sunny', ' hmm hmm hmm']);
      const [text, steps] = await streamed({ model: model(), prompt: HELLO, tools: tools([]), stopWhen: stepCountIs(3), providerOptions, maxOutputTokens: 4000 });
      same([text, steps[0].reasoningText], ['Tool results: sunny', ' hmm hmm hmm']);
    }),
    structured: each(async (model) => {
      const r = await generateObject({ model: model(), prompt: HELLO, schema: jsonSchema(SCHEMA), maxRetries: 0 });
      same(r.object, VALUE);
    }),
    errors: each(async (model, name) => {
      const make = models[name];
      for (const status of [400, 401, 404, 429]) {
        const e = await fails(() => generateText({ model: make(`${p.model.split('/')[0]}/status-${status}`), prompt: HELLO, maxRetries: 0 }), String(status));
        same(e.statusCode, status, e.message);
      }
    }),
    broken_streams: each(async (model) => {
      await fails(() => streamed({ model: model('+error-event-after-3'), prompt: HELLO }), 'error event');
    }),
    embeddings: async () => {
      if (!p.embed) return;
      const r = await embedMany({ model: compatible.textEmbeddingModel(p.embed), values: ['a', 'b'], maxRetries: 0 });
      same(r.embeddings.length, 2);
    },
  };
}

await run(cases);
