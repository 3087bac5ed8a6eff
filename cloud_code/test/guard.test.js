'use strict';

// The guard without a server: which values it lets through, and how it says no.
const assert = require('node:assert/strict');
const { createPrivateKey, createPublicKey, randomBytes } = require('node:crypto');
const { readFileSync } = require('node:fs');
const path = require('node:path');
const test = require('node:test');

const { createEncodableCheck, refuseUnencodableBodies } = require('../lib/encodable.js');
const { parseEnvelope } = require('../lib/envelope.js');
const { createGuard, installGuard, readConfig } = require('../lib/guard.js');
const { countersign, parseCard } = require('../lib/card.js');
const { storesOf } = require('../lib/stores.js');
const { newCard, newSettings } = require('./harness.js');
const { memoryParse } = require('./memory-parse.js');

const vectors = JSON.parse(readFileSync(path.join(__dirname, '../../tests/vectors/e3kit-crypto.json'), 'utf8'));
const messages = new Map(vectors.vectors.filter((v) => v.message && v.kind !== 'group_message').map((v) => [v.name, v]));
const FORMS = {
  encrypt: 'plain', sign_then_encrypt: 'encrypt', stream_encrypt: 'encrypt', e3kit_encrypt: 'encrypt',
  sign_and_encrypt: 'authEncrypt', stream_sign_and_encrypt: 'authEncrypt', e3kit_auth_encrypt: 'authEncrypt',
};
const idOf = (name, long) => vectors.keys[name][long ? 'id_sha256' : 'id'];

// --- reading headers -------------------------------------------------------------------------

test('every message of the vectors is read: its form and its recipients', () => {
  let count = 0;
  for (const { name, kind, message, recipients, use_sha256_identifiers: long } of messages.values()) {
    if (!(kind in FORMS)) continue;
    const expected = recipients.map((reader) => idOf(reader, long)).sort();
    assert.deepEqual(parseEnvelope(message), { form: FORMS[kind], recipients: expected }, name);
    count += 1;
  }
  assert.equal(count, 18);
});

test('white space in base64 is nothing: many encoders write lines, and E3Kit reads them', () => {
  const { message } = messages.get('sign-and-encrypt-1-padded');
  const read = parseEnvelope(message);
  assert.equal(read.form, 'authEncrypt');
  for (const text of [`${message}\n`, ` ${message}`, message.replace(/.{76}/g, '$&\r\n'), [...message].join('\v\f\t')]) {
    assert.deepEqual(parseEnvelope(text), read);
  }
});

test('no other text is an envelope', () => {
  const { message } = messages.get('sign-and-encrypt-1-padded');
  const bytes = Buffer.from(message, 'base64');
  const wrong = [
    '', 'hello', 'M', 'MIIB', 'null', 5, null, undefined, {}, [message], bytes, `${message}\u00a0`, `\ufeff${message}`,
    message.replace(/=+$/, ''), message.slice(0, 100), randomBytes(400).toString('base64'),
    Buffer.concat([Buffer.from('3080', 'hex'), bytes.subarray(2)]).toString('base64'),
    Buffer.concat([Buffer.from('3084ffffffff', 'hex'), Buffer.alloc(60)]).toString('base64'),
    vectors.vectors.find(({ kind }) => kind === 'group_message').message,
    vectors.keys.bob.public_key, vectors.keys.bob.private_key,
  ];
  for (const value of wrong) assert.equal(parseEnvelope(value), null, String(value).slice(0, 40));
  for (let end = 0; end < bytes.length; end += 1) {
    assert.equal(parseEnvelope(bytes.subarray(0, end).toString('base64')), null, `cut at ${end}`);
  }
});

test('100,000 recipients and deep nesting cost little', () => {
  const start = process.hrtime.bigint();
  const wrap = (tag, content) => {
    const length = Buffer.alloc(5);
    length[0] = 0x84;
    length.writeUInt32BE(content.length, 1);
    return Buffer.concat([Buffer.from([tag]), length, content]);
  };
  let nested = Buffer.alloc(4);
  for (let depth = 0; depth < 2000; depth += 1) nested = wrap(0x30, nested);
  assert.equal(parseEnvelope(nested.toString('base64')), null);
  assert.equal(parseEnvelope(wrap(0x30, Buffer.alloc(20e6)).toString('base64')), null);
  assert.ok(process.hrtime.bigint() - start < 5_000_000_000n);
});

// --- the rules -------------------------------------------------------------------------------

const ofPem = (base64) => createPrivateKey({ key: Buffer.from(base64, 'base64'), format: 'der', type: 'pkcs8' });

/** A Parse in memory in which the vectors' users have cards. */
async function parseWithCards() {
  const Parse = memoryParse();
  const settings = newSettings();
  const { cards } = storesOf(Parse, settings);
  for (const identity of ['alice', 'bob', 'carol']) {
    const privateKey = ofPem(vectors.keys[identity].private_key);
    const raw = newCard(identity, { key: { privateKey, publicKey: createPublicKey(privateKey) } });
    await cards.publish(countersign(parseCard(raw), settings.serviceKey));
  }
  Parse.make('Message', { fields: {} });
  Parse.rowsOf('Message').set('message1', { objectId: 'message1' });
  return Parse;
}

class User {
  constructor(id, className = '_User') { this.id = id; this.className = className; }
}

/** As much of a request as the guard looks at. *before*: what was stored, of an update. */
function request(fields, { dirty = Object.keys(fields), acl, user, op, before } = {}) {
  const permissionsById = acl && Object.fromEntries(acl.map((who) => [who, { read: true }]));
  const asObject = (values) => ({
    className: 'Message',
    id: 'message1',
    dirtyKeys: () => dirty,
    get: (name) => values[name],
    getACL: () => (permissionsById ? { permissionsById } : null),
    op: (name) => (op && name in values ? { toJSON: () => op } : undefined),
    toJSON: () => ({ ...values }),
    _getSaveJSON: () => ({ ...values }),
  });
  return { user: user && { id: user }, object: asObject(fields), original: before && asObject(before) };
}

const config = (rules, declared = {}) => ({
  version: 1, rules,
  classes: { Message: { body: { form: 'authEncrypt', readers: 'acl', author: 'senderId', ...declared } } },
});
const strict = { envelope: 'enforce', readers: 'enforce', author: 'enforce', cards: 'enforce' };
const forThree = messages.get('sign-and-encrypt-3-padded').message; // bob, carol, alice
const forBob = messages.get('sign-and-encrypt-1-padded').message;

async function codeOf(guard, what) {
  try {
    await guard(what);
  } catch (error) {
    assert.match(error.message, /^Message\.body: /);
    assert.ok(!error.message.includes('secret'), 'the value is not quoted');
    return error.code;
  }
  return null;
}

test('what is not an envelope of the right form is refused', async () => {
  const guard = createGuard(await parseWithCards(), config({}));
  const check = (body, options) => codeOf(guard, request({ body, senderId: 'alice' }, { acl: ['bob'], ...options }));
  assert.equal(await check(forThree), null);
  assert.equal(await check(undefined), null);
  assert.equal(await check(null), null);
  assert.equal(await check('a secret'), 9001);
  assert.equal(await check(''), 9001);
  assert.equal(await check({ secret: 1 }), 9001);
  assert.equal(await check(7), 9001);
  for (const name of ['encrypt-1', 'sign-then-encrypt-1']) {
    assert.equal(await check(messages.get(name).message), 9002);
  }
  for (const op of ['Increment', 'Add', 'AddUnique', 'Remove', 'Batch']) {
    assert.equal(await check('a secret', { op: { __op: op } }), 9003, op);
  }
  assert.equal(await check(undefined, { op: { __op: 'Delete' } }), null);
  assert.equal(await check('a secret', { dirty: ['senderId'] }), null, 'an untouched field is not looked at');
});

test('readers, author and cards are checked as the rules say', async () => {
  const guard = createGuard(await parseWithCards(), config(strict));
  const check = (body, acl, options = {}) =>
    codeOf(guard, request({ body, senderId: 'alice', ...options.fields }, { acl, ...options }));
  assert.equal(await check(forThree, ['alice', 'bob', 'carol', 'role:Admins']), null);
  assert.equal(await check(forThree, ['alice', 'mallory']), 9005);
  assert.equal(await check(forBob, ['bob']), 9006);
  assert.equal(await check(forBob, ['bob', 'carol']), 9005);
  assert.equal(await check(forThree, ['*']), 9004);
  assert.equal(await check(forThree, undefined), 9004, 'no ACL is a public one');
  assert.equal(await check(messages.get('sign-and-encrypt-4096').message, []), 9006);
  assert.equal(await check(forThree, ['mallory'], { dirty: ['ACL'] }), 9005, 'a reader who was added alone');
  assert.equal(await check('a secret', ['bob'], { dirty: ['ACL'] }), null, 'what was stored before is not judged');
  const crowd = Array.from({ length: 50_000 }, (_, number) => `u${number}`);
  const idle = await parseWithCards();
  idle.Query = class { constructor() { throw new Error('no lookup for a crowd'); } };
  assert.equal(await codeOf(createGuard(idle, config({ readers: 'enforce' })), request({ body: forThree, senderId: 'alice' }, { acl: crowd })), 9005);
  const unknown = createGuard(await parseWithCards(), config({ ...strict, author: 'off' }));
  const foreign = messages.get('e3kit-authEncrypt').message;
  assert.equal(await codeOf(unknown, request({ body: foreign, senderId: 'alice' }, { acl: [] })), 9007);
});

test('columns can name the readers, and the caller can be the author', async () => {
  const Parse = await parseWithCards();
  const named = createGuard(Parse, config(strict, { readers: ['to', 'others'], author: null }));
  const check = (fields, user) => codeOf(named, request({ body: forThree, ...fields }, { user }));
  assert.equal(await check({ to: 'bob', others: ['carol'] }, 'alice'), null);
  assert.equal(await check({ to: 'bob', others: ['mallory'] }, 'alice'), 9005);
  assert.equal(await check({ to: 'bob' }, 'mallory'), 9006);
  assert.equal(await check({ to: 'bob' }), null, 'the master key has no user');
  const own = createGuard(Parse, config(strict, { readers: null, author: null }));
  assert.equal(await codeOf(own, request({ body: forThree }, { user: 'alice' })), null);
});

test('users are named by ids and by pointers, alone and in lists; other shapes are refused', async () => {
  const Parse = await parseWithCards();
  const guard = createGuard(Parse, config(strict, { readers: ['to', 'others'] }));
  const check = (fields) => codeOf(guard, request({ body: forThree, senderId: 'alice', ...fields }, { acl: ['alice', 'bob', 'carol'] }));
  assert.equal(await check({ to: new User('bob'), others: [new User('carol'), 'bob'], senderId: new User('alice') }), null);
  assert.equal(await check({ to: new User('mallory') }), 9005);
  assert.equal(await check({ to: [new User('bob'), new User('mallory')] }), 9005);
  assert.equal(await check({ senderId: new User('mallory') }), 9006);
  for (const shape of [5, '', true, {}, { bob: true }, [['bob']], new User('bob', 'Person'), [new User('bob'), { id: 'carol' }], new Date()]) {
    assert.equal(await check({ to: shape }), 9008, JSON.stringify(shape));
  }
  for (const shape of [undefined, null, 5, '', {}, ['alice'], [new User('alice')], new User('alice', 'Person')]) {
    assert.equal(await check({ senderId: shape }), 9009, JSON.stringify(shape));
  }
});

test('the stored envelope has to match when the readers or the author change alone', async () => {
  const Parse = await parseWithCards();
  const before = { body: forThree, to: ['bob', 'carol'], senderId: 'alice' };
  const guard = createGuard(Parse, config(strict, { readers: ['to'] }));
  const change = async (fields, acl = ['alice']) => {
    try {
      await guard(request({ ...before, ...fields }, { dirty: Object.keys(fields), acl, before }));
    } catch (error) {
      assert.match(error.message, /send it along, encrypted anew/);
      return error.code;
    }
    return null;
  };
  assert.equal(await change({ to: ['carol', new User('bob')] }), null, 'the same readers');
  assert.equal(await change({ to: ['bob', 'carol', 'mallory'] }), 9005);
  assert.equal(await change({ to: ['bob'] }), 9010, 'whoever was taken out can still open it');
  assert.equal(await change({ to: ['bob'] }, ['alice', 'carol']), null, 'shared by the ACL');
  assert.equal(await change({ to: 5 }), 9008);
  assert.equal(await change({ senderId: new User('alice') }), null, 'the same author');
  assert.equal(await change({ senderId: 'mallory' }), 9006);
  assert.equal(await change({ senderId: 'bob' }), 9011, 'a reader, but the signature is not hers');
  assert.equal(await change({ senderId: undefined }), 9009);
  assert.equal(await change({ senderId: 'bob', body: undefined }), null, 'the value goes');
  const byAcl = createGuard(Parse, config(strict));
  const acl = (readers) => codeOf(byAcl, request({ ...before }, { dirty: ['ACL'], acl: readers, before }));
  assert.equal(await acl(['alice', 'bob', 'carol']), null);
  assert.equal(await acl(['alice', 'bob', 'carol', 'mallory']), 9005);
  assert.equal(await acl(['alice', 'bob']), 9010);
  assert.equal(await acl(['alice', 'role:Readers']), null, 'roles are not resolved');
});

test('a stanza for a user who may not read is refused with the value, too', async () => {
  const Parse = await parseWithCards();
  const only = createGuard(Parse, config(strict, { readers: [], author: null }));
  const check = (guard, body, options) => codeOf(guard, request({ body, senderId: 'bob' }, options));
  assert.equal(await check(only, forBob, { user: 'bob', acl: ['bob'] }), null);
  assert.equal(await check(only, forThree, { user: 'bob', acl: ['bob'] }), 9010);
  assert.equal(await check(only, forThree, { user: 'bob', acl: ['bob', 'carol', 'alice'] }), null, 'shared');
  assert.equal(await check(only, forThree, { user: 'bob' }), null, 'a public object names no outsider');
  const own = createGuard(Parse, config(strict, { readers: null }));
  assert.equal(await check(own, forThree, { acl: ['bob'] }), null, 'only the client can tell');
});

test('a default value of the schema is found before it is stored', async () => {
  const Parse = await parseWithCards();
  const guard = createGuard(Parse, config({}));
  Object.assign(Parse.classes.get('Message').fields, { body: { type: 'String', defaultValue: 'hello' } });
  const create = (fields, options) => codeOf(guard, request({ senderId: 'alice', ...fields }, options));
  assert.equal(await create({}), 9012);
  assert.equal(await create({ body: undefined }, { op: { __op: 'Delete' } }), 9012);
  assert.equal(await create({ body: forThree }, { acl: ['bob'] }), null);
  assert.equal(await create({}, { before: {} }), null, 'of an update the server makes nothing up');
  Parse.classes.get('Message').fields.body.defaultValue = undefined;
  assert.equal(await create({}), null);
});

test('what the server cannot write down is refused first, and written down as nothing', async () => {
  const Parse = await parseWithCards();
  const guard = createGuard(Parse, config(strict));
  const nested = (depth) => {
    let value = 1;
    for (let level = 0; level < depth; level += 1) value = [value];
    return value;
  };
  const typed = (type, fields = {}) => ({ __type: type, ...fields });
  const broken = [
    typed('Date', { iso: 'no date' }), typed('Date'), typed('Date', { iso: 5 }), typed('Pointer', { className: 'A' }),
    typed('Pointer', { objectId: 'x' }), typed('Pointer', { className: 'A', objectId: '' }), typed('Object', { className: 'A' }),
    typed('File', { name: 'a' }), typed('File', { url: 'http://a' }), typed('File'), nested(101), nested(50_000),
  ];
  for (const value of broken) {
    for (const fields of [{ other: value }, { body: 'a secret', other: { a: [{ b: value }] } }]) {
      const what = request(fields);
      await assert.rejects(guard(what), { code: 111, message: /^Message: / });
      assert.deepEqual([what.object.toJSON(), what.object._getSaveJSON()], [{}, {}]);
    }
  }
  const thrower = request({});
  thrower.object._getSaveJSON = () => { throw new Error('Tried to encode an invalid date.'); };
  await assert.rejects(guard(thrower), { code: 111 });
  for (const value of [typed('Date', { iso: '2026-11-24T12:00:00.000Z' }), typed('File', { name: 'a', url: 'http://a' }), nested(99)]) {
    await guard(request({ other: value }));
  }
  // Of any class, for an app's own triggers.
  const refuse = createEncodableCheck(Parse);
  assert.throws(() => refuse(request({ a: broken[0] })), { code: 111 });
});

test('report counts and lets through; off does neither', async () => {
  const Parse = await parseWithCards();
  const guard = createGuard(Parse, config({ envelope: 'report', readers: 'report', author: 'off' }));
  for (let times = 0; times < 3; times += 1) {
    assert.equal(await codeOf(guard, request({ body: 'a secret', senderId: 'alice' }, { acl: [] })), null);
  }
  assert.equal(await codeOf(guard, request({ body: forBob, senderId: 'alice' }, { acl: ['carol'] })), null);
  const rows = [...Parse.rowsOf('EncryptedParseReport').values()];
  const problems = Object.fromEntries(rows.map(({ problem, count }) => [problem, count]));
  assert.deepEqual(problems, { notAnEnvelope: 3, readerLeftOut: 1, outsider: 1 });
  assert.ok(!JSON.stringify(rows).includes('secret'));
});

test('an installed guard is the beforeSave of each class, and a wrong file is refused', async () => {
  const Parse = await parseWithCards();
  installGuard(Parse, config(strict));
  assert.deepEqual([...Parse.triggers.keys()], ['beforeSave Message', 'afterSave Message']);
  for (const wrong of [
    null, [], {}, { version: 2, classes: {} }, { version: 1 }, { version: 1, classes: { A: 1 } },
    config({ envelope: 'sometimes' }), config({ other: 'off' }), config({}, { form: 'other' }),
    config({}, { readers: 'everybody' }), config({}, { author: 5 }),
  ]) {
    assert.throws(() => readConfig(wrong), /encrypted-fields\.json: /);
  }
});

test('bodies that cannot be encoded go no further than the handler before Parse', () => {
  const answers = [];
  const response = { status: (code) => ({ json: (body) => answers.push([code, body.code]) }) };
  let passed = 0;
  const look = (body) => refuseUnencodableBodies({ body }, response, () => { passed += 1; });
  for (const body of [undefined, {}, { a: [{ __type: 'Date', iso: '2026-01-01T00:00:00.000Z' }] }, [1, 'x', null]]) look(body);
  assert.deepEqual([passed, answers], [4, []]);
  look({ requests: [{ body: { when: { __type: 'Date', iso: 'no date' } } }] });
  look({ a: { __type: 'Pointer', className: 'A' } });
  look(JSON.parse(`${'['.repeat(5000)}${']'.repeat(5000)}`));
  assert.deepEqual([passed, answers], [4, [[400, 111], [400, 111], [400, 111]]]);
});
