'use strict';

const assert = require('node:assert/strict');
const { test } = require('node:test');

const { installRoleMembers } = require('../lib/role-members.js');

class ParseError extends Error {
  constructor(code, message) { super(message); this.code = code; }
}

/** A Parse whose roles are `{name: {users: [...], roles: [...], hidden: bool}}`. */
function parseWith(roles) {
  const functions = new Map();
  const query = (objects) => {
    let limit = 100;
    let skip = 0;
    const chain = {
      select: () => chain,
      ascending: () => chain,
      limit: (count) => { limit = count; return chain; },
      skip: (count) => { skip = count; return chain; },
      find: async (options) => {
        if (options.useMasterKey !== true) assert.deepEqual(options, { sessionToken: 'token' });
        const shown = objects.filter(({ hidden }) => options.useMasterKey === true || !hidden);
        return shown.slice(skip, skip + limit);
      },
    };
    return chain;
  };
  const roleOf = (name) => ({
    id: `id-${name}`,
    hidden: roles[name].hidden,
    relation: (kind) => ({
      query: () => query((roles[name][kind] ?? []).map((one) => (kind === 'users' ? { id: one } : roleOf(one)))),
    }),
  });
  class Query {
    equalTo(column, name) { assert.equal(column, 'name'); this.name = name; return this; }
    async first(options) {
      assert.deepEqual(options, { sessionToken: 'token' });
      return Object.hasOwn(roles, this.name) && !roles[this.name].hidden ? roleOf(this.name) : undefined;
    }
  }
  installRoleMembers({ Query, Error: ParseError, Cloud: { define: (name, run) => functions.set(name, run) } });
  return (params, user = { getSessionToken: () => 'token' }) => functions.get('role-members')({ user, params });
}

const many = (count, prefix = 'u') => Array.from({ length: count }, (_, index) => `${prefix}${index}`);

test('users of a role and of the roles in it, at any depth, in circles too', async () => {
  const ask = parseWith({
    top: { users: ['b'], roles: ['middle'] },
    middle: { users: ['c', 'b'], roles: ['bottom', 'top'] },
    bottom: { users: ['a'], roles: ['middle'] },
    empty: {},
  });
  const { members } = await ask({ roles: ['top', 'empty', 'top'] });
  assert.deepEqual({ ...members }, { top: ['a', 'b', 'c'], empty: [] });
});

test('who is not logged in, or may not read the role, learns nothing', async () => {
  const ask = parseWith({ hidden: { users: ['a'], hidden: true } });
  await assert.rejects(ask({ roles: ['hidden'] }, undefined ?? null), { code: 209 });
  for (const name of ['hidden', 'missing', '__proto__', 'constructor']) {
    await assert.rejects(ask({ roles: [name] }), { code: 142 });
  }
});

test('through a role in it that the caller may not read, nothing is told, nor a part', async () => {
  const ask = parseWith({
    top: { users: ['b'], roles: ['middle', 'open'] },
    middle: { users: ['c'], roles: ['bottom'] },
    bottom: { users: ['a'], hidden: true },
    open: { users: ['d'] },
  });
  for (const roles of [['top'], ['middle'], ['open', 'top']]) await assert.rejects(ask({ roles }), { code: 142 });
  assert.deepEqual({ ...(await ask({ roles: ['open'] })).members }, { open: ['d'] });
});

test('bad parameters are refused', async () => {
  const ask = parseWith({ a: {} });
  for (const roles of [undefined, [], 'a', many(21), [5], [''], ['x'.repeat(257)], [{ $ne: 1 }]]) {
    await assert.rejects(ask({ roles }), { code: 142 });
  }
  await assert.rejects(ask(undefined), { code: 142 });
});

test('the work is bounded', async () => {
  const names = many(201, 'r');
  const ask = parseWith({
    full: { users: many(1024) },
    over: { users: many(1025) },
    wide: { roles: names },
    ...Object.fromEntries(names.map((name) => [name, {}])),
  });
  assert.equal((await ask({ roles: ['full'] })).members.full.length, 1024);
  await assert.rejects(ask({ roles: ['over'] }), { code: 142 });
  await assert.rejects(ask({ roles: ['wide'] }), { code: 142 });
});
