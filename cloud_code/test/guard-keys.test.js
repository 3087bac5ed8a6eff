'use strict';

// The guard's rule of replaced keys: which envelopes nobody might ever open.
const assert = require('node:assert/strict');
const { createPrivateKey, createPublicKey } = require('node:crypto');
const { readFileSync } = require('node:fs');
const path = require('node:path');
const test = require('node:test');

const { countersign, parseCard } = require('../lib/card.js');
const { isSameContent } = require('../lib/envelope.js');
const { createGuard } = require('../lib/guard.js');
const { storesOf } = require('../lib/stores.js');
const { idOf, newCard, newSettings } = require('./harness.js');
const { memoryParse } = require('./memory-parse.js');

const vectors = JSON.parse(readFileSync(path.join(__dirname, '../../tests/vectors/e3kit-crypto.json'), 'utf8'));
const messageOf = (name) => vectors.vectors.find((one) => one.name === name).message;
const forThree = messageOf('sign-and-encrypt-3-padded'); // bob, carol, alice
const forBob = messageOf('sign-and-encrypt-1-padded');

/** The same envelope, but the stanza of one key names another key: given to others, as it were. */
function withKey(message, before, after) {
  const hex = Buffer.from(message, 'base64').toString('hex');
  assert.ok(hex.includes(before));
  return Buffer.from(hex.replace(before, after), 'hex').toString('base64');
}

const keyOf = (name) => {
  const privateKey = createPrivateKey({ key: Buffer.from(vectors.keys[name].private_key, 'base64'), format: 'der', type: 'pkcs8' });
  return { privateKey, publicKey: createPublicKey(privateKey) };
};

/** A Parse with cards of the vectors' users, and what changes them. */
async function world() {
  const Parse = memoryParse();
  Parse.make('Message', { fields: {} });
  Parse.rowsOf('Message').set('message1', { objectId: 'message1' });
  const settings = newSettings();
  const { cards } = storesOf(Parse, settings);
  const publish = async (identity, options) => {
    const raw = newCard(identity, options);
    await cards.publish(countersign(parseCard(raw), settings.serviceKey));
    return idOf(raw);
  };
  const ids = {};
  for (const name of ['alice', 'bob', 'carol']) ids[name] = await publish(name, { key: keyOf(name) });
  const rotate = async (name, options) => { ids[name] = await publish(name, { previous: ids[name], ...options }); };
  const revoke = async (name) => cards.revoke((await cards.get(ids[name])).card);
  return { Parse, cards, publish, rotate, revoke };
}

const FIELDS = { form: 'authEncrypt', readers: 'acl', author: 'senderId' };
const config = (rules = {}, declared = {}) => ({ version: 1, rules, classes: { Message: { body: { ...FIELDS, ...declared } } } });

async function codeOf(Parse, body, { before, user = 'alice', rules, declared, dirty = ['body'] } = {}) {
  const asObject = (values) => ({
    className: 'Message', id: 'message1', dirtyKeys: () => dirty, get: (name) => values[name], op: () => undefined,
    getACL: () => ({ permissionsById: {} }), toJSON: () => values, _getSaveJSON: () => values,
  });
  const request = {
    user: user && { id: user }, object: asObject({ body, senderId: 'alice' }),
    original: before && asObject({ body: before, senderId: 'alice' }),
  };
  try {
    await createGuard(Parse, config(rules, declared))(request);
  } catch (error) {
    assert.match(error.message, /^Message\.body: the envelope is for a key/);
    return error.code;
  }
  return null;
}

test('a value for a replaced, revoked or deleted key is refused; for a present one it is not', async () => {
  const { Parse, cards, publish, rotate, revoke } = await world();
  assert.equal(await codeOf(Parse, forThree), null);
  await rotate('bob');
  assert.equal(await codeOf(Parse, forThree), 9013);
  assert.equal(await codeOf(Parse, forBob), 9013);
  await rotate('bob', { key: keyOf('bob') });
  assert.equal(await codeOf(Parse, forThree), null, 'a key counts as long as any current card has it');
  await revoke('carol');
  assert.equal(await codeOf(Parse, forThree), 9013);
  assert.equal(await codeOf(Parse, forBob), null);
  await publish('carol', {});
  assert.equal(await codeOf(Parse, forThree), 9013, 'registered anew');
  await cards.end('bob');
  assert.equal(await codeOf(Parse, forBob), 9013, 'deleted');
  assert.equal(await codeOf(Parse, forBob, { user: null }), 9013, 'with the master key, too');
});

test('old keys of the author and of who saves are their own matter', async () => {
  const { Parse, rotate } = await world();
  await rotate('alice');
  assert.equal(await codeOf(Parse, forThree, { user: 'mallory' }), null, 'alice is the author');
  await rotate('bob');
  assert.equal(await codeOf(Parse, forThree, { user: 'bob' }), null);
  assert.equal(await codeOf(Parse, forThree, { user: 'carol' }), 9013);
  const own = { declared: { author: null } };
  assert.equal(await codeOf(Parse, forBob, { user: 'bob', ...own }), null);
  assert.equal(await codeOf(Parse, forBob, { user: null, ...own }), 9013);
});

test('what is only given to more readers keeps its stanzas; a new value does not', async () => {
  const { Parse, rotate } = await world();
  await rotate('bob');
  assert.equal(await codeOf(Parse, forThree, { before: forThree }), null);
  assert.equal(await codeOf(Parse, forThree, { before: forBob }), 9013, 'encrypted anew for the old key');
  assert.equal(await codeOf(Parse, forThree, { before: 'no envelope' }), 9013);
  // As if the stored one had named somebody else where this one names bob's old key.
  const without = withKey(forThree, vectors.keys.bob.id, 'ab'.repeat(8));
  assert.ok(isSameContent(forThree, without));
  assert.ok(!isSameContent(forThree, forBob));
  assert.equal(await codeOf(Parse, forThree, { before: without }), 9013, 'given to the old key');
  assert.equal(await codeOf(Parse, without, { before: forThree }), null);
  assert.equal(await codeOf(Parse, forThree, { dirty: ['senderId'] }), null, 'a value that stays is not looked at');
});

test('the rule is one of the configured ones', async () => {
  const { Parse, rotate } = await world();
  await rotate('bob');
  assert.equal(await codeOf(Parse, forThree, { rules: { keys: 'off' } }), null);
  assert.equal(await codeOf(Parse, forThree, { rules: { keys: 'report' } }), null);
  const counted = [...Parse.rowsOf('EncryptedParseReport').values()].find(({ problem }) => problem === 'replacedKey');
  assert.equal(counted.count, 1);
});
