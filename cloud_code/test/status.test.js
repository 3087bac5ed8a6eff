'use strict';

const assert = require('node:assert/strict');
const { generateKeyPairSync, randomBytes } = require('node:crypto');
const { test } = require('node:test');

const { createGuard, installCloudFunctions, loadSettings } = require('../lib/index.js');

const exported = (key) => key.export({ type: 'pkcs8', format: 'der' }).toString('base64');

function environment() {
  const keys = ['api', 'service'].map(() => generateKeyPairSync('ed25519'));
  return {
    keys,
    variables: {
      VIRGIL_APP_ID: 'app',
      VIRGIL_APP_KEY_ID: 'key',
      VIRGIL_APP_KEY: exported(keys[0].privateKey),
      VIRGIL_SERVICE_KEY: exported(keys[1].privateKey),
    },
  };
}

function install(variables) {
  const functions = new Map();
  class ParseError extends Error {
    constructor(code, message) { super(message); this.code = code; }
  }
  const Parse = {
    Error: ParseError,
    Cloud: { define: (name, run) => functions.set(name, run), afterDelete: () => {} },
  };
  installCloudFunctions(Parse, loadSettings(variables));
  return { Parse, status: (request) => functions.get('encrypted-parse-status')(request) };
}

test('nobody but the master key is answered', async () => {
  const { status } = install(environment().variables);
  for (const request of [{}, { master: false }, { user: {} }, { master: 'true' }]) {
    await assert.rejects(status(request), { code: 119 });
  }
});

test('the status names what is guarded and no secret', async () => {
  const { keys, variables } = environment();
  const secret = randomBytes(32).toString('base64');
  const { Parse, status } = install({ ...variables, VIRGIL_BRAINKEY_SECRET: secret });
  const field = { form: 'authEncrypt', readers: 'acl', author: 'senderId' };
  createGuard(Parse, { version: 1, classes: { A: { x: field } } });
  createGuard(Parse, { version: 1, classes: { A: { y: field }, B: { z: field } }, rules: { envelope: 'report' } });
  const answer = await status({ master: true });
  assert.deepEqual(answer.guarded, { A: { x: 'enforce', y: 'report' }, B: { z: 'report' } });
  assert.equal(answer.brainKey, true);
  const spki = keys[1].publicKey.export({ type: 'spki', format: 'der' }).toString('base64');
  assert.equal(answer.servicePublicKey, spki);
  const text = JSON.stringify(answer);
  for (const value of [variables.VIRGIL_APP_KEY, variables.VIRGIL_SERVICE_KEY, secret]) {
    assert.ok(!text.includes(value));
  }
  assert.equal((await install(variables).status({ master: true })).brainKey, false);
});
