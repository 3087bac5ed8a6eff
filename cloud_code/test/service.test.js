'use strict';

// Tokens and cards: a life, races, lies, hostile requests.
const assert = require('node:assert/strict');
const { randomBytes } = require('node:crypto');
const test = require('node:test');

const companion = require('../lib/index.js');
const { issueToken } = require('../lib/jwt.js');
const { prepareInBackground } = require('../lib/stores.js');
const { idOf, newCard, newKey, newSettings, now, withService } = require('./harness.js');
const { memoryParse } = require('./memory-parse.js');

const search = (call, ...identities) =>
  call('POST', '/card/v5/actions/search', { as: 'reader', body: { identities } });

test('a card lives: publish, repeat, replace, revoke, publish anew', () => withService(async (call) => {
  const root = newCard('alice');
  const published = await call('POST', '/card/v5', { as: 'alice', body: root });
  assert.equal(published.status, 201);
  assert.equal(published.json.content_snapshot, root.content_snapshot);
  assert.deepEqual(published.json.signatures.map(({ signer }) => signer), ['self', 'virgil']);
  assert.equal((await call('POST', '/card/v5', { as: 'alice', body: root })).status, 200);
  assert.equal((await call('POST', '/card/v5', { as: 'alice', body: newCard('alice') })).json.code, 40039);

  const next = newCard('alice', { previous: idOf(root) });
  assert.equal((await call('POST', '/card/v5', { as: 'alice', body: next })).status, 201);
  assert.equal((await search(call, 'alice')).json.length, 2);
  const old = await call('GET', `/card/v5/${idOf(root)}`, { as: 'bob' });
  assert.equal(old.headers.get('x-virgil-is-superseeded'), 'true');
  const head = await call('GET', `//card/v5/${idOf(next)}/`, { as: 'bob' });
  assert.equal(head.headers.get('x-virgil-is-superseeded'), null);
  const ids = [idOf(root), idOf(next), '0'.repeat(64)];
  assert.deepEqual((await call('POST', '/card/v5/actions/outdated', { as: 'bob', body: { card_ids: ids } })).json, [idOf(root)]);

  assert.equal((await call('POST', `/card/v5/actions/revoke/${idOf(next)}`, { as: 'bob' })).json.code, 40032);
  assert.equal((await call('POST', `/card/v5/actions/revoke/${idOf(root)}`, { as: 'alice' })).json.code, 40040);
  assert.deepEqual((await call('POST', `/card/v5/actions/revoke/${idOf(next)}`, { as: 'alice' })).json, {});
  assert.deepEqual((await search(call, 'alice')).json, []);
  assert.equal((await call('GET', `/card/v5/${idOf(next)}`, { as: 'bob' })).status, 200);
  assert.equal((await call('POST', '/card/v5', { as: 'alice', body: root })).json.code, 40043);
  assert.equal((await call('POST', '/card/v5', { as: 'alice', body: newCard('alice', { previous: idOf(next) }) })).json.code, 40038);
  assert.equal((await call('POST', '/card/v5', { as: 'alice', body: newCard('alice') })).status, 201);
  assert.equal((await search(call, 'alice')).json.length, 1);
}));

test('of racing first cards, successors and revocations exactly one wins', () => withService(async (call) => {
  const race = async (bodies, path = () => '/card/v5') => {
    const answers = await Promise.all(bodies.map((body) => call('POST', path(body), { as: 'alice', body })));
    return answers.filter(({ status }) => status < 300).length;
  };
  const roots = Array.from({ length: 20 }, () => newCard('alice'));
  assert.equal(await race(roots), 1);
  const [head] = (await search(call, 'alice')).json;
  const successors = Array.from({ length: 20 }, () => newCard('alice', { previous: idOf(head) }));
  assert.equal(await race([...successors, {}], (body) => (body.signatures ? '/card/v5' : `/card/v5/actions/revoke/${idOf(head)}`)), 1);
}));

test('cards that are not the publisher\'s, or not true, are refused', () => withService(async (call) => {
  const publish = async (body) => (await call('POST', '/card/v5', { as: 'alice', body })).json.code;
  assert.equal(await publish(newCard('bob')), 40034);
  assert.equal(await publish(newCard('alice', { signer: newKey() })), 40035);
  assert.equal(await publish(newCard('alice', { createdAt: now() - 90000 })), 40037);
  assert.equal(await publish({}), 40031);
  const forged = newCard('alice');
  forged.signatures.push({ signer: 'virgil', signature: forged.signatures[0].signature });
  assert.equal(await publish(forged), 40031);
  assert.deepEqual((await search(call, 'alice', 'bob')).json, []);
}));

test('tokens that are expired, foreign, malformed or missing open nothing', () => withService(async (call, settings) => {
  const codes = async (token) => (await call('GET', `/card/v5/${'0'.repeat(64)}`, { token })).json.code;
  assert.equal(await codes(undefined), 20300);
  assert.equal(await codes('a.b.c'), 20303);
  assert.equal(await codes(issueToken(newSettings(), 'alice', now())), 20303);
  assert.equal(await codes(issueToken(settings, 'alice', now() - 4000)), 20304);
  const [header, payload] = issueToken(settings, 'alice', now()).split('.');
  assert.equal(await codes(`${header}.${payload}.`), 20303);
}));

test('whatever arrives, the answer is JSON and never a 5xx', () => withService(async (call) => {
  const paths = ['/', '/card', '/card/v5', '/card/v5/x', '/card/v5/actions/search', '/card/v5/actions/outdated', '/card/v5/actions/revoke/x', '/%00', '/../..'];
  const bodies = ['', '{', '[]', 'null', '{"identities":{}}', '{"identities":[null]}', '{"card_ids":"x"}', '{"content_snapshot":5}', randomBytes(64)];
  for (const path of paths) {
    for (const raw of bodies) {
      for (const method of ['POST', 'PUT', 'DELETE']) {
        const { status, json } = await call(method, path, { as: 'alice', raw });
        assert.ok(status < 500, `${method} ${path}`);
        if (status >= 400) assert.ok(Number.isInteger(json.code) && typeof json.message === 'string');
      }
    }
  }
  assert.equal((await call('POST', '/card/v5', { as: 'alice', raw: Buffer.alloc(2 ** 20 + 1, 32) })).json.code, 10003);
  assert.equal((await call('POST', '/card/v5/actions/search', { as: 'a', body: { identities: Array.from({ length: 51 }, (_, i) => `u${i}`) } })).json.code, 40033);
  assert.equal((await call('OPTIONS', '/card/v5')).status, 204);
}));

const CLASSES = ['EncryptedParseForeign', 'EncryptedParseReport', 'VirgilBrainKey', 'VirgilCard', 'VirgilKeyknox'];
const isClosed = (permissions) =>
  ['find', 'get', 'count', 'create', 'update', 'delete', 'addField'].every((right) => Object.keys(permissions[right]).length === 0);

test('the storage is made when the server starts, closed', async () => {
  const Parse = memoryParse();
  companion.installCloudFunctions(Parse, newSettings());
  while (Parse.classes.size < CLASSES.length) await new Promise(setImmediate);
  assert.deepEqual([...Parse.classes.keys()].sort(), CLASSES);
  for (const { classLevelPermissions } of Parse.classes.values()) assert.ok(isClosed(classLevelPermissions));
});

test('a server that is not up yet is tried again', async () => {
  const Parse = memoryParse();
  const { Server } = Parse;
  Parse.Server = undefined;
  const said = [];
  prepareInBackground(Parse, newSettings(), { log: (text) => said.push(text) });
  await new Promise((resolve) => setTimeout(resolve, 100));
  assert.equal(Parse.classes.size, 0);
  Parse.Server = Server;
  const held = setInterval(() => {}, 1000); // the retries' timers hold no process
  while (Parse.classes.size < CLASSES.length) await new Promise(setImmediate);
  clearInterval(held);
  assert.deepEqual(said, [], 'one failure at the start is usual');
});

test('who waits for an attempt that began too early makes one more', async () => {
  const Parse = memoryParse();
  const { save } = Parse.Schema.prototype;
  const early = new Promise((resolve) => setTimeout(resolve, 100)).then(() => 'up');
  let up = false;
  early.then(() => { up = true; });
  Parse.Schema.prototype.save = async function () {
    if (!up) await new Promise((resolve) => setTimeout(resolve, 200));
    else return save.call(this);
    throw new Error('a page of HTML');
  };
  Parse.Schema.prototype.get = async () => { throw new Error('a page of HTML'); };
  const first = companion.prepare(Parse, newSettings());
  await early;
  const second = companion.prepare(Parse);
  await assert.rejects(first, /HTML/);
  await second;
  assert.deepEqual([...Parse.classes.keys()].sort(), CLASSES);
});

test('a class that another process made or is making is completed, whatever the database calls that', async () => {
  const settings = newSettings();
  for (const code of [103, 1, '42710', '25P02']) {
    const Parse = memoryParse();
    await companion.prepare(Parse, settings); // the other process
    const card = Parse.classes.get('VirgilCard');
    delete card.fields.seal; // ... of an earlier version
    const there = { ...Parse };
    there.Schema = class extends Parse.Schema {
      async save() { throw Object.assign(new Error('there'), { code }); }
      async get() {
        if (asked.has(this.name)) return super.get();
        asked.add(this.name);
        throw new Error('not there yet');
      }
    };
    const asked = new Set();
    await companion.prepare(there, settings);
    assert.deepEqual(card.fields.seal, { type: 'String' }, `code ${code}: what is missing is added`);
    assert.equal(asked.size, CLASSES.length);
    assert.ok(isClosed(card.classLevelPermissions));
  }
  const cause = new Error('no database');
  const broken = memoryParse();
  broken.Schema.prototype.save = async () => { throw cause; };
  await assert.rejects(companion.prepare(broken, settings), cause);
});
