// SPDX-License-Identifier: Apache-2.0
// Drives the unmodified OpenAI SDK for Node; prints one JSON object. Arguments: base URL, model.
import OpenAI from 'openai';

const [baseURL, model] = process.argv.slice(2);
const client = new OpenAI({ baseURL, apiKey: 'not-a-sluice-key', maxRetries: 0 });
const messages = [{ role: 'user', content: 'Hello from the Node SDK' }];
const out = {};
out.plain = (await client.chat.completions.create({ model, messages })).choices[0].message.content;
out.stream = '';
for await (const c of await client.chat.completions.create({ model, messages, stream: true })) {
  out.stream += c.choices[0]?.delta?.content ?? '';
}
out.embedding = (await client.embeddings.create({ model: 'openai/text-embedding-3-small', input: 'x' })).data[0].embedding.length;
out.errors = {};
for (const name of ['openai/status-400', 'no-such/model']) {
  try {
    await client.chat.completions.create({ model: name, messages });
  } catch (e) {
    out.errors[name] = e.status;
  }
}
try {
  for await (const _ of await client.chat.completions.create({ model: 'openai/cut-after-3', messages, stream: true }));
  out.cut = 'no error';
} catch (e) {
  out.cut = String(e);
}
console.log(JSON.stringify(out));
