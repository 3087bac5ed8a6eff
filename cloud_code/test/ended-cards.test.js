'use strict';

// Cards of deleted users: what others verify with, what nobody writes for, and how they are erased.
const assert = require('node:assert/strict');
const test = require('node:test');

const companion = require('../lib');
const { idOf, newCard, withService } = require('./harness.js');

const idsOf = (answer) => answer.json.cards.map(idOf);

/** A service with the cloud functions, and what publishes, deletes and searches. */
const withUsers = (run) => withService(async (call, settings, Parse) => {
  companion.installCloudFunctions(Parse, settings);
  const publish = async (as, options) => {
    const card = newCard(as, options);
    assert.equal((await call('POST', '/card/v5', { as, body: card })).status, 201);
    return card;
  };
  const forget = (id) => Parse.triggers.get('afterDelete _User')({ object: { id } });
  const search = (name, identities) => call('POST', `/card/v5/actions/${name}`, { as: 'bob', body: { identities } });
  await run({ call, publish, forget, search, Parse });
});

test('the last chain of a deleted user is served by a route of our own, and by no other', () => withUsers(async ({ call, publish, forget, search }) => {
  const first = await publish('alice');
  await call('POST', `/card/v5/actions/revoke/${idOf(first)}`, { as: 'alice', body: {} });
  const root = await publish('alice');
  const head = await publish('alice', { previous: idOf(root) });
  await publish('bob');
  assert.deepEqual((await search('search-ended', ['alice', 'bob'])).json, { identities: [], cards: [] });
  await forget('alice');
  assert.deepEqual((await search('search', ['alice'])).json, []);
  const found = await search('search-ended', ['alice', 'bob', 'nobody']);
  assert.deepEqual(found.json.identities, ['alice']);
  assert.deepEqual(idsOf(found), [root, head].map(idOf));
}));

test('a chain that its user revoked before deleting the account is the last one, too', () => withUsers(async ({ call, publish, forget, search }) => {
  const card = await publish('alice');
  await call('POST', `/card/v5/actions/revoke/${idOf(card)}`, { as: 'alice', body: {} });
  assert.deepEqual((await search('search-ended', ['alice'])).json, { identities: [], cards: [] }, 'she may register again');
  await forget('alice');
  assert.deepEqual(idsOf(await search('search-ended', ['alice'])), [idOf(card)]);
  await forget('dora');
  assert.deepEqual((await search('search-ended', ['dora'])).json, { identities: ['dora'], cards: [] });
}));

test('the route takes what a search takes', () => withUsers(async ({ call, search }) => {
  assert.equal((await search('search-ended', [])).json.code, 40033);
  assert.equal((await search('search-ended', Array.from({ length: 51 }, (_, number) => `u${number}`))).json.code, 40033);
  assert.equal((await call('POST', '/card/v5/actions/search-ended', { body: { identities: ['alice'] } })).status, 401);
}));

test('the master key erases the cards, and the identity stays ended', () => withUsers(async ({ call, publish, forget, search, Parse }) => {
  const root = await publish('alice');
  await publish('alice', { previous: idOf(root) });
  const bobs = await publish('bob');
  const erase = (userId, master = true) => Parse.functions.get('encrypted-parse-erase-cards')({ master, params: { userId } });
  await assert.rejects(erase('alice'), { code: 142 }, 'she is not deleted');
  await forget('alice');
  await assert.rejects(erase('alice', false), { code: 119 });
  await assert.rejects(erase(7), { code: 142 });
  assert.deepEqual(await erase('alice'), { erased: 3 }); // two cards, and what ended their chain
  assert.deepEqual(await erase('alice'), { erased: 0 });
  assert.deepEqual((await search('search-ended', ['alice'])).json, { identities: ['alice'], cards: [] });
  assert.equal((await call('GET', `/card/v5/${idOf(root)}`, { as: 'bob' })).status, 404);
  assert.equal((await call('POST', '/card/v5', { as: 'alice', body: newCard('alice') })).json.code, 40045);
  await forget('alice');
  assert.equal((await call('POST', '/card/v5', { as: 'alice', body: root })).json.code, 40045);
  assert.equal((await search('search', ['bob'])).json.map(idOf)[0], idOf(bobs));
}));
