'use strict';

// The lease without a server: who gets it, who waits, and what tags are made of.
const assert = require('node:assert/strict');
const test = require('node:test');

const { CODES, COLUMN, HOLD_MILLISECONDS, createLease } = require('../lib/lease.js');
const { tagOf } = require('../lib/tags.js');
const { memoryParse } = require('./memory-parse.js');

const CLASSES = { Note: { body: { form: 'authEncrypt', readers: ['copyTo'], author: 'ownerId' } } };
const TIME = '2026-01-01T00:00:00.000Z';

/** A class with one row, its lease, and requests as `beforeSave` gets them. */
function withRow(lease = undefined) {
  const Parse = memoryParse();
  Parse.make('Note', { fields: { title: { type: 'String' }, body: { type: 'String' } } });
  const row = { objectId: 'note1', body: 'MII', updatedAt: TIME, ...(lease !== undefined && { [COLUMN]: lease }) };
  Parse.rowsOf('Note').set('note1', row);
  const request = (tags, written = { title: 't' }) => {
    const { objectId, ...stored } = structuredClone(Parse.rowsOf('Note').get('note1'));
    const set = {};
    return {
      set,
      object: {
        className: 'Note', id: objectId, dirtyKeys: () => Object.keys(written), _getSaveJSON: () => written,
        set: (column, value) => { set[column] = value; },
      },
      original: { updatedAt: new Date(stored.updatedAt), toJSON: () => stored },
      context: tags === undefined ? {} : { ifMatch: tags },
      config: { database: Parse.Server.database },
    };
  };
  return { ...createLease(Parse, CLASSES), Parse, request, row: () => Parse.rowsOf('Note').get('note1') };
}

const right = { note1: { body: tagOf('body', 'MII') } };
const codeOf = (promise) => promise.then(() => null, (error) => error.code);

test('a writer with If-Match holds the row, and its own write releases it', async () => {
  const { claim, request, row, Parse } = withRow();
  const writer = request(right);
  await claim(writer);
  assert.ok(row()[COLUMN] > 0);
  assert.deepEqual(writer.set, { [COLUMN]: 0 });
  assert.deepEqual(Parse.classes.get('Note').classLevelPermissions.protectedFields, { '*': [COLUMN] });
  assert.equal(await codeOf(claim(request())), CODES.busy);
});

test('an ordinary writer announces itself, and takes that back alone', async () => {
  const { claim, release, request, row } = withRow();
  const [first, second] = [request(), request()];
  await claim(first);
  assert.ok(row()[COLUMN] < 0);
  await release(first);
  assert.equal(row()[COLUMN], 0);
  await claim(first);
  await claim(second);
  const announced = row()[COLUMN];
  await release(first);
  await release(second);
  assert.equal(row()[COLUMN], announced, 'of two, neither knows that the other is done');
});

test('an announcement ages, a lease expires, and wrong clocks lock nobody out', async () => {
  const now = Date.now();
  for (const lease of [0, -(now - HOLD_MILLISECONDS - 1), -(now + 60_000), now - 80_000, now + 60_000]) {
    const { claim, request } = withRow(lease);
    assert.equal(await codeOf(claim(request(right))), null, String(lease));
  }
  const { claim, request } = withRow(-now);
  assert.equal(await codeOf(claim(request(right))), null, 'it waits until the announcement has aged');
});

test('a row that was changed is not written, also between reading and leasing', async () => {
  const { claim, request, row } = withRow();
  const late = request(right);
  row().updatedAt = '2026-01-01T00:00:00.001Z';
  assert.equal(await codeOf(claim(late)), CODES.changed);
  assert.equal(await codeOf(claim(request({ note1: { body: tagOf('body', 'other') } }))), CODES.changed);
  assert.equal(row()[COLUMN], undefined);
});

test('what is malformed is no unconditional write, and the column is not for clients', async () => {
  const { claim, refuseColumn, request } = withRow();
  const tag = tagOf('body', 'MII');
  for (const tags of [null, 5, [], {}, { note1: null }, { note1: {} }, { note1: { body: 'short' } },
    { note1: { body: `${tag}x` } }, { note1: { title: tag } }, { note1: { body: 5 } }]) {
    assert.equal(await codeOf(claim(request(tags))), CODES.malformed, JSON.stringify(tags));
  }
  assert.equal(await codeOf(claim(request({ another: { body: tag } }))), null, 'tags of other rows of a batch');
  assert.throws(() => refuseColumn(request(undefined, { [COLUMN]: 1 })), { code: CODES.column });
});

test('a write that its types forbid takes no lease', async () => {
  const { claim, request, row } = withRow();
  assert.equal(await codeOf(claim(request(right, { title: 5 }))), 111);
  assert.equal(row()[COLUMN], undefined);
});

test('tags are those that clients make', () => {
  const granted = { b: { write: false, read: true }, a: { read: true }, c: { read: false } };
  assert.equal(tagOf('ACL', granted), tagOf('ACL', { a: { read: true }, b: { read: true } }));
  const pointer = { __type: 'Pointer', className: '_User', objectId: 'u' };
  assert.equal(tagOf('writers', [{ ...pointer, __type: 'Object', username: 'x' }]), tagOf('writers', [pointer]));
  assert.equal(tagOf('body', undefined), '47DEQpj8HBSa-_TImW-5JC');
  assert.equal(tagOf('ACL', { u: { write: true, read: true } }), 'YlTuYRGR_3eOxijWRBybgi');
  assert.equal(tagOf('copyTo', ['\u00fc', pointer]), 'JChYupM4HGdC_25GzZLHNY');
});
