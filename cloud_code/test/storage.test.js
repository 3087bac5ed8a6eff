'use strict';

// The companion's classes when somebody else was there first.
const assert = require('node:assert/strict');
const { createHash } = require('node:crypto');
const test = require('node:test');

const companion = require('../lib/index.js');
const { countersign, parseCard } = require('../lib/card.js');
const { issueToken } = require('../lib/jwt.js');
const { storesOf } = require('../lib/stores.js');
const { idOf, newCard, newSettings, now, withService } = require('./harness.js');
const { memoryParse } = require('./memory-parse.js');

const sha256 = (text) => createHash('sha256').update(text).digest('hex');
const search = async (call, identity) =>
  (await call('POST', '/card/v5/actions/search', { as: 'reader', body: { identity } })).json;

/** The row of a card as the companion writes it, all but the seal. */
function rowOf(raw, identity, { signer, generation = 0 } = {}) {
  const card = parseCard(raw);
  const { signatures } = signer ? countersign(card, signer) : card;
  return {
    kind: 'card', identity, slot: `root:${generation}:${identity}`, cardId: card.id, keyId: 'x', longKeyId: 'x',
    contentSnapshot: raw.content_snapshot, signatures: JSON.stringify(signatures),
  };
}

/** Repair until nothing is left to do, as `cloud doctor --repair` does. */
async function repair(Parse) {
  const run = Parse.functions.get('encrypted-parse-repair');
  const total = {};
  for (let more = true; more;) {
    const { repaired } = await run({ master: true });
    for (const [name, count] of Object.entries(repaired)) total[name] = (total[name] ?? 0) + count;
    more = Object.values(repaired).some((count) => count > 0);
  }
  return total;
}

test('a class that a client made first is refused, and repaired', () => withService(async (call, settings, Parse) => {
  const forged = newCard('victim');
  Parse.clientCreate('VirgilCard', rowOf(forged, 'victim'));
  Parse.clientCreate('VirgilKeyknox', { owner: 5, copies: ['x'] }); // columns of other types
  companion.installCloudFunctions(Parse, settings);
  for (const answer of [await call('POST', '/card/v5', { as: 'victim', body: newCard('victim') }), await call('GET', '/keyknox/v1', { as: 'victim' })]) {
    assert.deepEqual([answer.status, answer.json.code], [503, 10006]);
    assert.match(answer.json.message, /cloud doctor --repair/);
  }
  await assert.rejects(companion.prepare(Parse, settings), { code: 10006 });
  await assert.rejects(Parse.functions.get('encrypted-parse-repair')({}), { code: 119 });

  const done = await repair(Parse);
  assert.deepEqual([done.VirgilCard, done.VirgilKeyknox], [1, 1]);
  const kept = [...Parse.rowsOf('EncryptedParseForeign').values()];
  assert.deepEqual(kept.map(({ fromClass }) => fromClass).sort(), ['VirgilCard', 'VirgilKeyknox']);
  assert.ok(kept.some(({ content }) => content.includes(forged.content_snapshot)));
  for (const name of ['VirgilCard', 'VirgilKeyknox']) {
    assert.throws(() => Parse.clientCreate(name, { identity: 'victim' }), { code: 119 });
  }
  assert.deepEqual(await search(call, 'victim'), []);
  assert.equal((await call('POST', '/card/v5', { as: 'victim', body: newCard('victim') })).status, 201);
  assert.equal((await call('PUT', '/keyknox/v1', { as: 'victim', body: { meta: 'AAAA', value: 'AAAA' } })).status, 200);
  assert.deepEqual(await repair(Parse), Object.fromEntries(Object.keys(done).map((name) => [name, 0])));
  assert.equal((await search(call, 'victim')).length, 1, 'what is ours stays');
}));

test('an empty class that a client made is made anew', () => withService(async (call, settings, Parse) => {
  const id = Parse.clientCreate('VirgilCard', { slot: 5 });
  Parse.rowsOf('VirgilCard').delete(id);
  companion.installCloudFunctions(Parse, settings);
  assert.equal((await call('POST', '/card/v5', { as: 'a', body: newCard('a') })).status, 503);
  await repair(Parse);
  assert.equal((await call('POST', '/card/v5', { as: 'a', body: newCard('a') })).status, 201);
}));

test('rows that are not ours count for nothing, even where a client could choose their ids', () => withService(async (call, settings, Parse) => {
  await companion.prepare(Parse, settings);
  const first = newCard('victim');
  assert.equal((await call('POST', '/card/v5', { as: 'victim', body: first })).status, 201);
  const head = newCard('victim', { previous: idOf(first) });
  const rows = Parse.rowsOf('VirgilCard');
  const put = (row, id = sha256(row.slot)) => rows.set(id, { objectId: id, ...row });
  const forged = newCard('victim');
  put(rowOf(forged, 'victim'), 'abcdefghij'); // an id that the server chose
  put({ ...rowOf(forged, 'victim', { generation: 1 }) });
  put({ ...rowOf(forged, 'victim', { signer: newSettings().serviceKey, generation: 2 }), seal: 'AAAA' });
  put({ kind: 'revocation', identity: 'victim', slot: `next:${idOf(first)}`, seal: 'AAAA' });
  put({ kind: 'end', identity: 'victim', slot: 'end:victim' });
  put({ kind: 'card', slot: 5, identity: 'victim' }, 'klmnopqrst');
  assert.deepEqual((await search(call, 'victim')).map(idOf), [idOf(first)]);
  assert.equal((await call('GET', `/card/v5/${idOf(forged)}`, { as: 'a' })).status, 404);
  const found = await call('GET', `/card/v5/${idOf(first)}`, { as: 'a' });
  assert.equal(found.headers.get('x-virgil-is-superseeded'), null);
  assert.deepEqual(await storesOf(Parse).cards.findKeys(['x']), []);
  // What stands in the way of writes goes with the repair, and nothing else does.
  assert.equal((await call('POST', '/card/v5', { as: 'victim', body: head })).status, 400);
  companion.installCloudFunctions(Parse, settings);
  Parse.Server.allowCustomObjectId = true; // so an id proves nothing of who chose it
  assert.equal((await repair(Parse)).VirgilCard, 6);
  assert.equal((await call('POST', '/card/v5', { as: 'victim', body: head })).status, 201);
  assert.deepEqual((await search(call, 'victim')).map(idOf), [first, head].map(idOf));
}));

test('a row of ours with another content is none', () => withService(async (call, settings, Parse) => {
  await call('POST', '/card/v5', { as: 'alice', body: newCard('alice') });
  const [row] = Parse.rowsOf('VirgilCard').values();
  const whole = { ...row };
  const other = rowOf(newCard('alice'), 'alice', { signer: newSettings().serviceKey });
  const wrong = [
    { slot: 'root:1:alice' }, { slot: 'root:00:alice' }, { identity: 'bob' }, { kind: 'other' }, { cardId: other.cardId }, { keyId: '00' },
    { contentSnapshot: other.contentSnapshot }, { signatures: other.signatures }, { signatures: '[]' }, { signatures: 'x' },
    { contentSnapshot: other.contentSnapshot, signatures: other.signatures, cardId: other.cardId }, { previousCardId: 'x' }, { seal: 'x' },
  ];
  for (const change of wrong) {
    Object.assign(row, whole, change);
    for (const identity of ['alice', 'bob']) {
      const cards = await search(call, identity);
      // A column that is only looked up by may differ in the row of a true card: previous is the snapshot's.
      assert.deepEqual(cards, 'previousCardId' in change && identity === 'alice' ? cards : [], JSON.stringify(change).slice(0, 60));
    }
  }
}));

test('records and throttles of somebody else count for nothing', () => withService(async (call, settings, Parse) => {
  const [alice, bob] = ['alice', 'bob'];
  const copy = { meta: 'AAAA', value: 'BBBB' };
  assert.equal((await call('PUT', '/keyknox/v1', { as: alice, body: copy })).status, 200);
  const rows = Parse.rowsOf('VirgilKeyknox');
  const [mine] = rows.values();
  const forged = { ...mine, owner: bob, recipients: [bob], copies: JSON.stringify([[bob, 'CCCC', 'CCCC']]) };
  rows.set('abcdefghij', { ...forged, objectId: 'abcdefghij' });
  const id = sha256(JSON.stringify(['v1', bob]));
  rows.set(id, { ...forged, objectId: id }); // with the seal of another row
  assert.equal((await call('GET', '/keyknox/v1', { as: bob })).json.value, '');
  assert.deepEqual((await call('POST', '/keyknox/v2/keys', { as: bob, body: {} })).json, []);
  const { throttle } = storesOf(Parse, settings);
  assert.ok(await throttle.pass(alice, 10_000, 1950));
  const [row] = Parse.rowsOf('VirgilBrainKey').values();
  row.identity = bob;
  assert.ok(!(await throttle.pass(alice, 20_000, 1950)), 'taken, and not ours');
}));

test('rows that an earlier version wrote are sealed by the repair, where clients cannot choose ids', () => withService(async (call, settings, Parse) => {
  companion.installCloudFunctions(Parse, settings);
  await call('POST', '/card/v5', { as: 'alice', body: newCard('alice') });
  await call('PUT', '/keyknox/v1', { as: 'alice', body: { meta: 'AAAA', value: 'AAAA' } });
  for (const name of ['VirgilCard', 'VirgilKeyknox']) {
    for (const row of Parse.rowsOf(name).values()) {
      delete row.seal;
      delete row.size;
    }
  }
  assert.deepEqual(await search(call, 'alice'), []);
  const { VirgilCard, VirgilKeyknox } = await repair(Parse);
  assert.deepEqual([VirgilCard, VirgilKeyknox], [1, 1]);
  assert.equal((await search(call, 'alice')).length, 1);
  const record = await call('GET', '/keyknox/v1', { as: 'alice' });
  assert.equal(record.json.value, 'AAAA');
  const headers = { 'Virgil-Keyknox-Previous-Hash': record.headers.get('virgil-keyknox-hash') };
  assert.equal((await call('PUT', '/keyknox/v1', { as: 'alice', body: { meta: 'AAAA', value: 'BBBBBBBB' }, headers })).status, 200);
}));

test('more rows than one call takes away', async () => {
  const Parse = memoryParse();
  for (let number = 0; number < 1200; number += 1) Parse.clientCreate('VirgilCard', { slot: `root:0:u${number}` });
  companion.installCloudFunctions(Parse, newSettings());
  assert.equal((await repair(Parse)).VirgilCard, 1200);
  assert.equal(Parse.rowsOf('VirgilCard').size, 0);
  assert.equal(Parse.rowsOf('EncryptedParseForeign').size, 1200);
});

test('no token for a session whose user is gone', async () => {
  const Parse = memoryParse();
  const settings = newSettings();
  companion.installCloudFunctions(Parse, settings);
  await companion.prepare(Parse, settings);
  Parse.make('_User', {});
  Parse.make('_Session', {});
  const sessionToken = 'r:1';
  const alice = { id: 'alice', getSessionToken: () => sessionToken };
  const log = () => Promise.all([{ user: alice, params: {} }, { params: { sessionToken } }].map(async (request) => {
    try {
      return typeof (await Parse.functions.get('virgil-jwt')(request)).token;
    } catch (error) {
      return error.code;
    }
  }));
  Parse.rowsOf('_User').set('alice', { objectId: 'alice' });
  const expiresAt = new Date(Date.now() + 60_000);
  Parse.rowsOf('_Session').set('s', { objectId: 's', sessionToken, expiresAt, user: { id: 'alice' } });
  assert.deepEqual(await log(), ['string', 'string']);
  Parse.rowsOf('_User').delete('alice');
  assert.deepEqual(await log(), [209, 209]);
  Parse.rowsOf('_User').set('alice', { objectId: 'alice' }); // a row that comes back
  await companion.forgetUser(Parse, 'alice');
  assert.deepEqual(await log(), [209, 209], 'the identity has ended');
  assert.ok(issueToken(settings, 'alice', now()), 'older tokens live on; they open nothing');
});
