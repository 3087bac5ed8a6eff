'use strict';

// Keyknox: records, recipients, hashes, races (services document, section 4).
const assert = require('node:assert/strict');
const { createHash } = require('node:crypto');
const test = require('node:test');

const companion = require('../lib/index.js');
const { storesOf } = require('../lib/stores.js');
const { ThrottleStore } = require('../lib/throttle-store.js');
const { idOf, newCard, newSettings, withService } = require('./harness.js');
const { memoryParse } = require('./memory-parse.js');

const EMPTY = createHash('sha512').digest('base64');
const b64 = (text) => Buffer.from(text).toString('base64');
const copy = (text) => ({ meta: b64(`meta of ${text}`), value: b64(text) });
const place = { root: 'group-sessions', path: 'a', key: '0' };
const previous = (hash) => (hash === undefined ? {} : { headers: { 'Virgil-Keyknox-Previous-Hash': hash } });

/** The calls of one user. */
function user(call, as) {
  const post = (path, body, hash) => call('POST', `/keyknox/v2/${path}`, { as, body, ...previous(hash) });
  return {
    get: () => call('GET', '/keyknox/v1', { as }),
    put: (body, hash) => call('PUT', '/keyknox/v1', { as, body, ...previous(hash) }),
    clear: () => call('POST', '/keyknox/v1/reset', { as, headers: { 'Content-Type': 'application/x-www-form-urlencoded' }, raw: '' }),
    push: (text, identities, hash, at = place) => post('push', { ...at, identities, ...copy(text) }, hash),
    pull: (identity, at = place) => post('pull', { ...at, identity }),
    keys: (body) => post('keys', body),
    reset: (body) => post('reset', body),
  };
}

const hashOf = ({ headers }) => headers.get('virgil-keyknox-hash');

test('v1: empty, first, next, stale, reset', () => withService(async (call) => {
  const alice = user(call, 'alice');
  const empty = await alice.get();
  assert.deepEqual(empty.json, { meta: '', value: '', version: '1.0' });
  assert.equal(hashOf(empty), EMPTY);
  const first = await alice.put(copy('one'));
  assert.deepEqual(first.json, { ...copy('one'), version: '1.0' });
  assert.deepEqual((await alice.get()).json, first.json);
  assert.equal(hashOf(await alice.get()), hashOf(first));
  for (const stale of [undefined, EMPTY, 'nonsense']) {
    const refused = await alice.put(copy('two'), stale);
    assert.deepEqual([refused.status, refused.json.code], [400, 50010]);
  }
  const second = await alice.put(copy('two'), hashOf(first));
  assert.equal(second.json.version, '2.0');
  const cleared = await alice.clear();
  assert.deepEqual([cleared.json, hashOf(cleared)], [{ meta: '', value: '', version: '3.0' }, EMPTY]);
  assert.equal((await alice.put(copy('three'), EMPTY)).json.version, '4.0');
  assert.deepEqual((await user(call, 'bob').get()).json, { meta: '', value: '', version: '1.0' });
  assert.equal((await user(call, 'bob').clear()).json.version, '1.0');
}));

test('v2: copies accumulate, and each recipient reads its own', () => withService(async (call) => {
  const [alice, bob, carol, mallory] = ['alice', 'bob', 'carol', 'mallory'].map((name) => user(call, name));
  const first = await alice.push('for two', ['alice', 'bob', 'bob']);
  assert.deepEqual(first.json, { owner: 'alice', ...place, identities: ['alice', 'bob'], ...copy('for two') });
  const second = await alice.push('for carol', ['carol'], hashOf(first));
  assert.deepEqual(second.json.identities, ['alice', 'bob', 'carol']);
  assert.equal((await bob.pull('alice')).json.value, b64('for two'));
  assert.equal((await carol.pull('alice')).json.value, b64('for carol'));
  assert.equal(hashOf(await bob.pull('alice')), hashOf(second), 'one hash a record');
  for (const absent of [await mallory.pull('alice'), await alice.pull('bob'), await alice.pull('alice', { ...place, key: '1' })]) {
    assert.deepEqual([absent.status, absent.json.value, absent.json.identities, hashOf(absent)], [200, '', [], EMPTY]);
  }
  assert.equal((await alice.push('x', ['alice'])).json.code, 50010);
  assert.equal((await bob.push('x', ['alice'])).json.owner, 'bob', 'a record of one\'s own at the same place');
}));

test('v2: keys, paths and roots of records that one can read', () => withService(async (call) => {
  const [alice, bob, mallory] = ['alice', 'bob', 'mallory'].map((name) => user(call, name));
  await alice.push('0', ['alice', 'bob']);
  await alice.push('1', ['alice'], undefined, { ...place, key: '1' });
  await alice.push('2', ['bob'], undefined, { ...place, path: 'b', key: '2' });
  await alice.push('3', ['alice'], undefined, { root: 'other', path: 'c', key: '3' });
  const { root, path } = place;
  const sorted = async (caller, body) => (await caller.keys(body)).json.sort();
  assert.deepEqual(await sorted(alice, { root, path }), ['0', '1']);
  assert.deepEqual(await sorted(alice, { root }), ['a', 'b']);
  assert.deepEqual(await sorted(alice, {}), ['group-sessions', 'other']);
  assert.deepEqual(await sorted(bob, { root, path, identity: 'alice' }), ['0']);
  assert.deepEqual(await sorted(bob, { identity: 'alice' }), ['group-sessions']);
  assert.deepEqual(await sorted(mallory, { root, path, identity: 'alice' }), []);
  assert.equal(hashOf(await alice.keys({ root, path })), null);
}));

test('v2: reset deletes one\'s own records, or one recipient\'s copies', () => withService(async (call) => {
  const [alice, bob] = ['alice', 'bob'].map((name) => user(call, name));
  const pushed = await alice.push('x', ['alice', 'bob']);
  const { root, path } = place;
  assert.equal(hashOf(await alice.reset({ root, path, identity: 'bob' })), hashOf(pushed), 'the hash stays');
  assert.equal((await bob.pull('alice')).json.value, '');
  assert.equal((await alice.push('y', ['bob'], hashOf(pushed))).status, 200);
  await bob.reset({ root, path });
  assert.equal((await bob.pull('alice')).json.value, b64('y'), 'nobody resets another\'s record');
  assert.equal((await alice.reset({ root })).status, 200);
  assert.equal((await alice.push('z', ['alice'])).status, 200, 'a first push again');
  await alice.reset({ ...place, identity: 'alice' });
  assert.deepEqual((await alice.keys({ root, path })).json, [], 'a record without copies is gone');
  assert.equal((await alice.reset({ root: 'unknown' })).status, 200);
}));

test('of racing writes exactly one wins', () => withService(async (call) => {
  const alice = user(call, 'alice');
  const winners = async (writes) => (await Promise.all(writes)).filter(({ status }) => status === 200).length;
  const twenty = (write) => Array.from({ length: 20 }, (_, number) => write(number));
  assert.equal(await winners(twenty((number) => alice.put(copy(`${number}`)))), 1);
  const v1 = hashOf(await alice.get());
  assert.equal(await winners(twenty((number) => alice.put(copy(`next ${number}`), v1))), 1);
  assert.equal(await winners(twenty((number) => alice.push(`${number}`, ['alice']))), 1);
  const v2 = hashOf(await alice.pull('alice'));
  assert.equal(await winners(twenty((number) => alice.push(`next ${number}`, ['alice'], v2))), 1);
  const all = hashOf(await alice.push('all', Array.from({ length: 20 }, (_, number) => `u${number}`), hashOf(await alice.pull('alice'))));
  assert.ok(all);
  assert.equal(await winners(twenty((number) => alice.reset({ ...place, identity: `u${number}` }))), 20);
  assert.deepEqual((await alice.pull('alice')).json.identities, ['alice']);
}));

test('what is malformed or too much is refused', () => withService(async (call) => {
  const alice = user(call, 'alice');
  const code = async (answer) => (await answer).json.code;
  for (const body of [{}, { meta: '', value: '' }, { meta: b64('x'), value: '' }, { meta: 'no base64!', value: b64('x') }, { meta: 1, value: 2 }]) {
    assert.equal(await code(alice.put(body)), 50011);
  }
  for (const identities of [[], [''], [5], 'alice', undefined, ['é'], Array(501).fill('a')]) {
    assert.equal(await code(alice.push('x', identities)), 50011);
  }
  for (const at of [{ ...place, root: '' }, { ...place, path: 5 }, { ...place, key: undefined }, { ...place, key: 'a\u0000' }, { ...place, key: '\ud800' }, { ...place, key: 'k'.repeat(513) }]) {
    assert.equal(await code(alice.push('x', ['alice'], undefined, at)), 50011);
  }
  assert.equal(await code(alice.pull('é')), 50011);
  assert.equal((await alice.push('x', ['alice', '__proto__', 'constructor'], undefined, { ...place, key: 'ключ.$x' })).status, 200);
  assert.equal((await user(call, '__proto__').pull('alice', { ...place, key: 'ключ.$x' })).json.value, b64('x'));
  const large = { meta: b64('m'), value: Buffer.alloc(900 * 1024).toString('base64') };
  assert.equal(await code(alice.put(large)), 10003);
}));

test('without a secret there is no BrainKey', () => withService(async (call) => {
  const answer = await call('POST', '/pythia/v1/brainkey', { as: 'alice', body: { blinded_password: b64('x') } });
  assert.deepEqual([answer.status, answer.json.code], [404, 60002]);
}));

test('a deleted user leaves neither card nor records, and its identity stays ended', () => withService(async (call, settings, Parse) => {
  companion.installCloudFunctions(Parse, settings);
  const [alice, bob] = ['alice', 'bob'].map((name) => user(call, name));
  const card = newCard('alice');
  assert.equal((await call('POST', '/card/v5', { as: 'alice', body: card })).status, 201);
  await alice.put(copy('backup'));
  await alice.push('x', ['alice', 'bob']);
  const bobs = await bob.push('y', ['alice', 'bob']);
  await Parse.triggers.get('afterDelete _User')({ object: { id: 'alice' } });
  await Parse.triggers.get('afterDelete _User')({ object: { id: 'alice' } });
  const search = await call('POST', '/card/v5/actions/search', { as: 'bob', body: { identity: 'alice' } });
  assert.deepEqual(search.json, []);
  const found = await call('GET', `/card/v5/${idOf(card)}`, { as: 'bob' });
  assert.equal(found.headers.get('x-virgil-is-superseeded'), 'true');
  assert.equal((await bob.pull('alice')).json.value, '');
  assert.deepEqual((await bob.pull('bob')).json.value, b64('y'));
  assert.equal(hashOf(await bob.pull('bob')), hashOf(bobs));
  // Tokens live twenty minutes longer than their user.
  for (const answer of [
    await call('POST', '/card/v5', { as: 'alice', body: newCard('alice') }),
    await call('POST', '/card/v5', { as: 'alice', body: newCard('alice', { previous: idOf(card) }) }),
    await alice.put(copy('again')), await alice.push('z', ['alice']),
  ]) {
    assert.deepEqual([answer.status, answer.json.code], [400, 40045]);
  }
  assert.equal((await alice.get()).json.value, '');
}));

test('a card that is published while its user is deleted counts nowhere', () => withService(async (call, settings, Parse) => {
  const { cards } = storesOf(Parse, settings);
  const card = newCard('alice');
  const insert = Parse.Server.database.create;
  Parse.Server.database.create = async (name, row) => {
    if (row.kind === 'card') await cards.end('alice'); // after the request looked, before it writes
    return insert(name, row);
  };
  const answer = await call('POST', '/card/v5', { as: 'alice', body: card });
  assert.equal(answer.json.code, 40045);
  const search = await call('POST', '/card/v5/actions/search', { as: 'bob', body: { identity: 'alice' } });
  assert.deepEqual(search.json, []);
  const outdated = await call('POST', '/card/v5/actions/outdated', { as: 'bob', body: { card_ids: [idOf(card)] } });
  assert.deepEqual(outdated.json, [idOf(card)]);
}));

test('an owner keeps so many bytes, whoever pushes them at once', () => withService(async (call) => {
  const alice = user(call, 'alice');
  const half = 'x'.repeat(300_000); // some 800 kB, as value and in the meta data
  const keys = Array.from({ length: 20 }, (_, number) => ({ ...place, key: `${number}` }));
  const answers = await Promise.all(keys.map((at) => alice.push(half, ['alice'], undefined, at)));
  assert.equal(answers.filter(({ status }) => status === 200).length, 10);
  const refused = answers.find(({ status }) => status !== 200);
  assert.deepEqual([refused.status, refused.json.code], [400, 50014]);
  assert.equal((await alice.put(copy(half))).json.code, 50014, 'v1 counts too');
  assert.equal((await user(call, 'bob').push(half, ['alice'])).status, 200, 'it counts for its owner alone');
  // What gets smaller is taken, and room that was made is there.
  const first = await alice.pull('alice', keys.find((_, number) => answers[number].status === 200));
  const { root, path, key } = first.json;
  assert.equal((await alice.push('small', ['alice'], hashOf(first), { root, path, key })).status, 200);
  assert.equal((await alice.push(half, ['alice'], undefined, { ...place, key: 'new' })).status, 200);
}));

test('the quota is a setting', () => withService(async (call) => {
  const alice = user(call, 'alice');
  assert.equal((await alice.put(copy('x'.repeat(3000)))).status, 200);
  assert.equal((await alice.push('x'.repeat(3000), ['alice'])).json.code, 50014);
}, { VIRGIL_KEYKNOX_BYTES: '10000' }));

test('of calls in one moment, in several processes, one makes a BrainKey seed', async () => {
  const Parse = memoryParse();
  const settings = newSettings();
  const processes = [0, 1].map(() => new ThrottleStore(Parse, settings));
  const passed = async (now) => {
    const calls = Array.from({ length: 20 }, (_, number) => processes[number % 2].pass('alice', now, 1950));
    return (await Promise.all(calls)).filter((pass) => pass).length;
  };
  for (const [now, expected] of [[10_000, 1], [11_000, 0], [11_950, 1], [13_000, 0], [13_900, 1]]) {
    assert.equal(await passed(now), expected, `at ${now}`);
  }
  assert.ok(await processes[0].pass('bob', 10_000, 1950));
  assert.ok(await processes[0].pass('alice', 1_000, 1950), 'a clock that was ahead does not lock out for ever');
  await processes[1].forget('alice');
  assert.ok(await processes[0].pass('alice', 1_001, 1950));
});
