'use strict';

// The services without a server: a Parse in memory, real tokens, real cards, real HTTP.
const { createHash, generateKeyPairSync } = require('node:crypto');
const http = require('node:http');

const companion = require('../lib/index.js');
const { issueToken } = require('../lib/jwt.js');
const { signVirgil } = require('../lib/virgil-signature.js');
const { memoryParse } = require('./memory-parse.js');

const newKey = () => generateKeyPairSync('ed25519');
const toBase64 = (key) => key.export({ format: 'der', type: 'pkcs8' }).toString('base64');
const now = () => Math.floor(Date.now() / 1000);

function newSettings(variables = {}) {
  return companion.loadSettings({
    VIRGIL_APP_ID: 'app', VIRGIL_APP_KEY_ID: 'key',
    VIRGIL_APP_KEY: toBase64(newKey().privateKey), VIRGIL_SERVICE_KEY: toBase64(newKey().privateKey), ...variables,
  });
}

function newCard(identity, { previous, createdAt = now(), key = newKey(), signer = key } = {}) {
  const content = {
    identity, ...(previous ? { previous_card_id: previous } : {}), created_at: createdAt, version: '5.0',
    public_key: key.publicKey.export({ format: 'der', type: 'spki' }).toString('base64'),
  };
  const snapshot = Buffer.from(JSON.stringify(content));
  const signature = signVirgil(snapshot, signer.privateKey).toString('base64');
  return { content_snapshot: snapshot.toString('base64'), signatures: [{ signer: 'self', signature }] };
}

const idOf = (card) => createHash('sha512')
  .update(Buffer.from(card.content_snapshot, 'base64')).digest().subarray(0, 32).toString('hex');

async function withService(run, variables) {
  const settings = newSettings(variables);
  const Parse = memoryParse();
  const handler = companion.virgilHandler(Parse, settings);
  const server = http.createServer((request, response) => handler(request, response));
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const base = `http://127.0.0.1:${server.address().port}`;
  const call = async (method, path, { body, as, token = as && issueToken(settings, as, now()), raw, headers = {} } = {}) => {
    const answer = await fetch(base + path, {
      method,
      headers: { ...(token ? { Authorization: `Virgil ${token}` } : {}), 'Content-Type': 'application/json', ...headers },
      // Not an empty string, which the fetch of Node 19 cannot send with DELETE.
      body: raw === undefined ? body && JSON.stringify(body) : raw || undefined,
    });
    const text = await answer.text();
    return { status: answer.status, headers: answer.headers, json: text === '' ? null : JSON.parse(text) };
  };
  try {
    await run(call, settings, Parse);
  } finally {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
}

module.exports = { idOf, newCard, newKey, newSettings, now, withService };
