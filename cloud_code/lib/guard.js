'use strict';

const { MAX_RECIPIENTS, parseEnvelope } = require('./envelope.js');
const { createEncodableCheck } = require('./encodable.js');
const { isObject } = require('./encoding.js');
const { keyIdsOf } = require('./card.js');
const { namesReplacedKey } = require('./guard-keys.js');
const { authorOf, isSameUser, readersOf } = require('./guard-users.js');
const { createLease } = require('./lease.js');
const { storesOf } = require('./stores.js');
const { rememberGuard } = require('./status.js');

/**
 * The guard: refuses, in `beforeSave`, what a client forgot to encrypt.
 *
 * It reads headers and knows no keys, so it stops mistakes, not a malicious client: whether an
 * envelope holds what its author meant, only its readers see. Which columns are encrypted, and
 * how strict each rule is, stands in encrypted-fields.json (`encrypted-parse schema export`).
 */
const RULES = Object.freeze(['envelope', 'readers', 'author', 'cards', 'keys']);
const MODES = Object.freeze(['off', 'report', 'enforce']);
const FORMS = Object.freeze(['authEncrypt', 'encrypt', 'plain']);
const DEFAULT_RULES = Object.freeze({ envelope: 'enforce', readers: 'report', author: 'report', cards: 'off', keys: 'enforce' });

/** What can be wrong: the rule that it breaks, the error's code, the text after the field's name. */
const PROBLEMS = Object.freeze({
  notAnEnvelope: ['envelope', 9001, 'the value is not an envelope; encrypt it on the client'],
  wrongForm: ['envelope', 9002, 'the envelope is not of the form that this column takes'],
  operation: ['envelope', 9003, 'an encrypted column can be set and deleted, nothing else'],
  publicRead: ['readers', 9004, 'the ACL lets everybody read, whom nobody can encrypt for'],
  readerLeftOut: ['readers', 9005, 'the envelope cannot be opened by a user who is to read it'],
  authorLeftOut: ['author', 9006, 'the envelope cannot be opened by its author'],
  unknownRecipient: ['cards', 9007, 'the envelope names a key of no published card'],
  unknownReaders: ['readers', 9008, 'a column of its readers holds neither user ids nor pointers to _User'],
  unknownAuthor: ['author', 9009, 'the column of its author holds neither a user id nor a pointer to _User'],
  outsider: ['readers', 9010, 'the envelope can be opened by a user who may not read the object'],
  authorChanged: ['author', 9011, 'the author changes, whose signature the envelope does not have'],
  defaultValue: ['envelope', 9012, "the column has a default value, which is no envelope: take it out of the schema"],
  replacedKey: ['keys', 9013, 'the envelope is for a key that its user has replaced: encrypt for the present one'],
});
const ALONE = '; the stored value stays as it is: send it along, encrypted anew, with the change of readers or author';

/**
 * Check a configuration, as read from encrypted-fields.json.
 *
 * @param {unknown} config
 * @throws {Error} names what is wrong
 */
function readConfig(config) {
  const fail = (what) => {
    throw new Error(`encrypted_parse: encrypted-fields.json: ${what}; export it again`);
  };
  if (!isObject(config) || config.version !== 1) fail('its version is not 1');
  if (!isObject(config.classes)) fail('it has no classes');
  const rules = { ...DEFAULT_RULES, ...config.rules };
  for (const [rule, mode] of Object.entries(rules)) {
    if (!RULES.includes(rule)) fail(`there is no rule ${rule}`);
    if (!MODES.includes(mode)) fail(`the rule ${rule} is none of ${MODES.join(', ')}`);
  }
  for (const [className, fields] of Object.entries(config.classes)) {
    if (!isObject(fields)) fail(`${className} has no fields`);
    for (const [field, { form, readers, author } = {}] of Object.entries(fields)) {
      const where = `${className}.${field}`;
      if (!FORMS.includes(form)) fail(`${where} has no known form`);
      const named = Array.isArray(readers) && readers.every((column) => typeof column === 'string');
      if (!named && readers !== 'acl' && readers !== null) fail(`${where} has no known readers`);
      if (author !== null && typeof author !== 'string') fail(`${where} has no known author`);
    }
  }
  return { classes: config.classes, rules };
}

/**
 * Make a check for `beforeSave` of the configured classes.
 *
 *     const guard = companion.createGuard(Parse, require('./encrypted-fields.json'));
 *     Parse.Cloud.beforeSave('Message', async (request) => {
 *       // the app's own checks first: the guard's last step claims the row for the write
 *       await guard(request);
 *     });
 *     Parse.Cloud.afterSave('Message', guard.afterSave);
 *
 * @param {object} Parse
 * @param {unknown} config
 * @returns {(request: object) => Promise<void>} throws a Parse.Error: 111 if the server cannot encode
 *   the object, of any class; else a code from 9001 to 9020
 */
function createGuard(Parse, config) {
  const { classes, rules } = readConfig(config);
  rememberGuard(Parse, { classes, rules });
  const refuseUnencodable = createEncodableCheck(Parse);
  const lease = createLease(Parse, classes);

  async function guard(request) {
    refuseUnencodable(request); // before anything else: every other refusal is logged with the object
    lease.refuseColumn(request);
    const { object } = request;
    const dirty = new Set(object.dirtyKeys());
    for (const [field, declared] of Object.entries(classes[object.className] ?? {})) {
      const change = describe(request, field, declared, dirty);
      for (const problem of await problemsOf(request, field, declared, change)) {
        await act(object.className, field, problem, change);
      }
    }
    await lease.claim(request); // last: nothing may come between it and the write
  }

  return Object.assign(guard, { afterSave: lease.release, prepare: lease.prepare });

  async function act(className, field, problem, { value }) {
    const [rule, code, text] = PROBLEMS[problem];
    const alone = rule !== 'envelope' && !value ? ALONE : '';
    if (rules[rule] === 'enforce') throw new Parse.Error(code, `${className}.${field}: ${text}${alone}`);
    if (rules[rule] === 'report') await storesOf(Parse).reports.count(className, field, problem);
  }

  async function problemsOf(request, field, declared, change) {
    const { object, original } = request;
    if (change.value && isOperation(object, field)) return ['operation'];
    const value = object.get(field);
    if (value === undefined && !original && (await hasDefault(object.className, field))) return ['defaultValue'];
    if (value === undefined || value === null) return [];
    if (!change.value && !change.readers && !change.author) return [];
    const envelope = parseEnvelope(value);
    if (envelope === null) return change.value ? ['notAnEnvelope'] : [];
    if (envelope.form !== declared.form) return change.value ? ['wrongForm'] : [];
    return userProblems(request, declared, envelope, { ...change, text: value, stored: original?.get(field) });
  }

  /** Parse Server puts a schema's default in after every `beforeSave`, past this one. */
  async function hasDefault(className, field) {
    if (rules.envelope === 'off') return false;
    const schema = await Parse.Server.database.loadSchema();
    const classes = await schema.getAllClasses(); // from the server's memory
    const { defaultValue } = classes.find((one) => one.className === className)?.fields?.[field] ?? {};
    return defaultValue !== undefined && defaultValue !== null;
  }

  async function userProblems({ object, user }, declared, envelope, change) {
    const problems = [];
    const { readers, permitted, everybody, unknown } = readersOf(object, declared.readers);
    const author = authorOf(object, declared.author, change.value ? user : undefined);
    if (everybody) problems.push('publicRead');
    if (unknown && (change.value || change.readers)) problems.push('unknownReaders');
    if (author.unknown && (change.value || change.author)) problems.push('unknownAuthor');
    const named = new Set(envelope.recipients);
    const asked = [
      ...(rules.readers === 'off' ? [] : readers),
      ...(rules.author === 'off' || author.id === null ? [] : [author.id]),
    ];
    // No envelope has so many; and each would cost a lookup.
    if (asked.length > MAX_RECIPIENTS) return [...problems, 'readerLeftOut'];
    if (asked.length > 0) {
      const able = await usersNamed(asked, named);
      if (rules.readers !== 'off' && readers.some((reader) => !able.has(reader))) problems.push('readerLeftOut');
      if (rules.author !== 'off' && author.id !== null && !able.has(author.id)) problems.push('authorLeftOut');
    }
    if (change.author && !change.value) problems.push('authorChanged');
    if (rules.keys !== 'off' && change.value) {
      const replaced = await namesReplacedKey(storesOf(Parse).cards, envelope, change, [author.id, user?.id]);
      if (replaced) problems.push('replacedKey');
    }
    // An extra stanza is as good as an extra reader.
    const looksForOutsiders = rules.readers !== 'off' && permitted !== null && author.id !== null;
    if (looksForOutsiders || rules.cards !== 'off') {
      const known = new Set();
      const invited = new Set();
      for (const { keyId, identity } of await storesOf(Parse).cards.findKeys(envelope.recipients)) {
        known.add(keyId);
        if (identity === author.id || permitted?.has(identity)) invited.add(keyId);
      }
      if (looksForOutsiders && [...known].some((id) => !invited.has(id))) problems.push('outsider');
      if (rules.cards !== 'off' && envelope.recipients.some((id) => !known.has(id))) problems.push('unknownRecipient');
    }
    return problems;
  }

  /** Those of *userIds* of whom a card, current or older, is among the identifiers *named*. */
  async function usersNamed(userIds, named) {
    const able = new Set();
    for await (const card of storesOf(Parse).cards.searchAll([...new Set(userIds)])) {
      const { keyId, longKeyId } = keyIdsOf(card);
      if (named.has(keyId) || named.has(longKeyId)) able.add(card.identity);
    }
    return able;
  }
}

/**
 * What a save changes, of what has to match: the value, who is to read it, whose it is. The stored
 * envelope has to match the readers and the author after a change of them alone, too.
 */
function describe({ object, original }, field, { readers, author }, dirty) {
  const columns = readers === 'acl' ? ['ACL'] : readers ?? [];
  return {
    value: dirty.has(field),
    readers: columns.some((column) => dirty.has(column)),
    author: author !== null && dirty.has(author) && !isSameUser(object.get(author), original?.get(author)),
  };
}

/** Whether the field is changed by anything but setting or deleting it. */
function isOperation(object, field) {
  const operation = object.op(field)?.toJSON?.();
  return isObject(operation) && typeof operation.__op === 'string' && operation.__op !== 'Delete';
}

/**
 * Guard every configured class that the app has no `beforeSave` of its own for: Parse Server keeps
 * one a class.
 *
 * @param {object} Parse
 * @param {unknown} config
 */
function installGuard(Parse, config) {
  const guard = createGuard(Parse, config);
  for (const className of Object.keys(config.classes)) {
    Parse.Cloud.beforeSave(className, guard);
    Parse.Cloud.afterSave(className, guard.afterSave);
    setTimeout(() => guard.prepare(className).catch(() => {}), 0).unref(); // else before the first write
  }
}

module.exports = { PROBLEMS, createGuard, installGuard, readConfig };
