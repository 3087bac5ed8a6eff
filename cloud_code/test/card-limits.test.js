'use strict';

// What users with as many and as large cards as they may have cost: bounded answers, bounded memory.
const assert = require('node:assert/strict');
const { createHash } = require('node:crypto');
const test = require('node:test');

const { CardStore } = require('../lib/card-store.js');
const { signVirgil } = require('../lib/virgil-signature.js');
const { idOf, newCard, newKey, now, withService } = require('./harness.js');

const MAX_ANSWER_BYTES = 4 * 1024 * 1024;
const CARDS = 200;

/** A card of nearly 16 KiB. */
function heavyCard(identity, previous, createdAt) {
  const key = newKey();
  const content = {
    identity, ...(previous ? { previous_card_id: previous } : {}), created_at: createdAt, version: '5.0',
    public_key: key.publicKey.export({ format: 'der', type: 'spki' }).toString('base64'), x: 'x'.repeat(11600),
  };
  const snapshot = Buffer.from(JSON.stringify(content));
  const signature = signVirgil(snapshot, key.privateKey).toString('base64');
  return { content_snapshot: snapshot.toString('base64'), signatures: [{ signer: 'self', signature }] };
}

async function fill(call, identity) {
  let previous = null;
  for (let count = 0; count < CARDS; count += 1) {
    const card = heavyCard(identity, previous, now() - CARDS + count);
    const answer = await call('POST', '/card/v5', { as: identity, body: card });
    assert.equal(answer.status, 201, JSON.stringify(answer.json));
    previous = idOf(card);
  }
  return previous;
}

test('a full chain fits one answer, two do not, and one more card is refused', () => withService(async (call, settings, Parse) => {
  const search = (...identities) => call('POST', '/card/v5/actions/search', { as: 'reader', body: { identities } });
  const head = await fill(call, 'alice');
  await fill(call, 'bob');
  assert.equal((await call('POST', '/card/v5', { as: 'carol', body: newCard('carol') })).status, 201);
  const full = await call('POST', '/card/v5', { as: 'alice', body: newCard('alice', { previous: head }) });
  assert.equal(full.json.code, 40041);

  const alone = await search('alice', 'carol');
  assert.equal(alone.json.length, CARDS + 1);
  assert.ok(JSON.stringify(alone.json).length < MAX_ANSWER_BYTES);
  const both = await search('alice', 'bob', 'carol');
  assert.equal(both.status, 400);
  assert.equal(both.json.code, 40044);

  // The guard reads them all, a part after the other.
  const store = new CardStore(Parse, settings);
  const found = new Map();
  for await (const card of store.searchAll(['carol', 'alice', 'nobody', 'bob'])) {
    found.set(card.identity, (found.get(card.identity) ?? 0) + 1);
  }
  assert.deepEqual([...found].sort(), [['alice', CARDS], ['bob', CARDS], ['carol', 1]]);

  // Chains that were ended are not served, and count for what a search takes all the same.
  assert.equal((await call('POST', `/card/v5/actions/revoke/${head}`, { as: 'alice' })).status, 200);
  assert.equal((await search('alice')).json.length, 0);
  assert.equal((await search('alice', 'bob')).json.code, 40044);
}));

test('no more rows are read once they are too many', () => withService(async (call, settings, Parse) => {
  const store = new CardStore(Parse, settings);
  for (let count = 0; count < 2000; count += 1) {
    const slot = `next:${count}`;
    const objectId = createHash('sha256').update(slot).digest('hex');
    const row = { kind: 'card', slot, identity: 'many', contentSnapshot: 'x'.repeat(12000), signatures: '[]' };
    assert.ok(await store.rows.insert(objectId, row));
  }
  const pages = [];
  const { Query } = Parse;
  Parse.Query = class extends Query {
    async find(options) {
      const page = await super.find(options);
      pages.push(page.length);
      return page;
    }
  };
  await assert.rejects(store.search(['many']), { code: 40044 });
  assert.deepEqual(pages, [500]);
}));

test('a failure of the database is no reason to ask again for less', () => withService(async (call, settings, Parse) => {
  await call('POST', '/card/v5', { as: 'carol', body: newCard('carol') });
  let asked = 0;
  Parse.Query.prototype.find = async () => {
    asked += 1;
    throw new Error('no database');
  };
  const all = async () => {
    for await (const card of new CardStore(Parse, settings).searchAll(['a', 'b', 'c', 'd'])) assert.ok(card);
  };
  await assert.rejects(all, /no database/);
  assert.equal(asked, 1);
}));
