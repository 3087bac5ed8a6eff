'use strict';

const assert = require('node:assert/strict');
const { test } = require('node:test');

const { installFindUsers } = require('../lib/find-users.js');
const { newSettings } = require('./harness.js');

class ParseError extends Error {
  constructor(code, message) { super(message); this.code = code; }
}
ParseError.OPERATION_FORBIDDEN = 119;

/** A Parse with users `{name: {id, hidden}}`; `failure` is the code that asking without the master key ends with. */
function parseWith(users, { findUsers = false, failure } = {}) {
  const asked = [];
  const functions = new Map();
  class Query {
    constructor(name) { assert.equal(name, '_User'); }
    containedIn(column, names) { assert.equal(column, 'username'); this.names = names; return this; }
    select(...columns) { assert.deepEqual(columns, ['username']); return this; }
    limit(most) { assert.equal(most, 20); return this; }
    async find(rights) {
      asked.push(rights);
      if (failure && !rights.useMasterKey) throw new ParseError(failure, 'no');
      // A database that ignores case: the function itself compares exactly.
      const wanted = this.names.map((name) => name.toLowerCase());
      return Object.entries(users)
        .filter(([name, { hidden }]) => wanted.includes(name.toLowerCase()) && (rights.useMasterKey || !hidden))
        .map(([name, { id }]) => ({ id, get: (column) => (column === 'username' ? name : undefined) }));
    }
  }
  const define = (name, run) => functions.set(name, run);
  installFindUsers({ Query, Error: ParseError, Cloud: { define } }, { findUsers });
  const session = { getSessionToken: () => 'token' };
  return { asked, ask: (params, user = session) => functions.get('find-users')({ user, params }) };
}

const USERS = { ann: { id: 'A' }, Ben: { id: 'B', hidden: true }, cem: { id: 'C' }, __proto__x: { id: 'P' } };

test('by default the caller is told what the caller may read, and no more', async () => {
  const { ask, asked } = parseWith(USERS);
  assert.deepEqual({ ...(await ask({ names: ['ann', 'Ben', 'nobody', 'cem'] })).users }, { ann: 'A', cem: 'C' });
  assert.deepEqual(asked, [{ sessionToken: 'token' }]);
});

test('with the setting every exact name is found, and nothing like it', async () => {
  const { ask } = parseWith(USERS, { findUsers: true });
  assert.deepEqual({ ...(await ask({ names: ['Ben', 'ann', 'ann'] })).users }, { ann: 'A', Ben: 'B' });
  for (const name of ['ben', 'ANN', 'an', 'ann ', '.*', '__proto__', 'constructor']) {
    assert.deepEqual({ ...(await ask({ names: [name] })).users }, {}, name);
  }
});

test('who is not logged in learns nothing, with the setting or without', async () => {
  for (const findUsers of [false, true]) {
    const { ask, asked } = parseWith(USERS, { findUsers });
    await assert.rejects(ask({ names: ['ann'] }, null), { code: 209 });
    assert.deepEqual(asked, []);
  }
});

test('bad parameters are refused, before anything is asked', async () => {
  const { ask, asked } = parseWith(USERS, { findUsers: true });
  const many = Array.from({ length: 21 }, (_, index) => `u${index}`);
  for (const names of [undefined, [], 'ann', many, [5], [''], ['x'.repeat(257)], [{ $ne: 1 }], [['ann']], [null]]) {
    await assert.rejects(ask({ names }), { code: 142 });
  }
  await assert.rejects(ask(undefined), { code: 142 });
  assert.deepEqual(asked, []);
});

test('closed classes and protected names look like no users; other failures are failures', async () => {
  assert.deepEqual({ ...(await parseWith(USERS, { failure: 119 }).ask({ names: ['ann'] })).users }, {});
  await assert.rejects(parseWith(USERS, { failure: 1 }).ask({ names: ['ann'] }), { code: 1 });
});

test('the setting is a word, and anything else stops the start', () => {
  assert.equal(newSettings().findUsers, false);
  assert.equal(newSettings({ ENCRYPTED_PARSE_FIND_USERS: '' }).findUsers, false);
  assert.equal(newSettings({ ENCRYPTED_PARSE_FIND_USERS: ' exact\n' }).findUsers, true);
  for (const value of ['1', 'true', 'yes', 'Exact', 'off']) {
    assert.throws(() => newSettings({ ENCRYPTED_PARSE_FIND_USERS: value }), /ENCRYPTED_PARSE_FIND_USERS/);
  }
});
