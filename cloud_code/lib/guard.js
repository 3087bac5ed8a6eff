'use strict';

const { MAX_RECIPIENTS, parseEnvelope } = require('./envelope.js');
const { isObject } = require('./encoding.js');
const { ReportStore } = require('./report-store.js');
const { CardStore } = require('./card-store.js');
const { keyIdsOf } = require('./card.js');
const { rememberGuard } = require('./status.js');

/**
 * The guard: refuses, in `beforeSave`, what a client forgot to encrypt.
 *
 * It reads headers and knows no keys, so it stops mistakes, not a malicious client: whether an
 * envelope holds what its author meant, only its readers see. Which columns are encrypted, and
 * how strict each rule is, stands in encrypted-fields.json (`encrypted-parse schema export`).
 */
const RULES = Object.freeze(['envelope', 'readers', 'author', 'cards']);
const MODES = Object.freeze(['off', 'report', 'enforce']);
const FORMS = Object.freeze(['authEncrypt', 'encrypt', 'plain']);
const DEFAULT_RULES = Object.freeze({ envelope: 'enforce', readers: 'report', author: 'report', cards: 'off' });

/** What can be wrong: the rule that it breaks, the error's code, the text after the field's name. */
const PROBLEMS = Object.freeze({
  notAnEnvelope: ['envelope', 9001, 'the value is not an envelope; encrypt it on the client'],
  wrongForm: ['envelope', 9002, 'the envelope is not of the form that this column takes'],
  operation: ['envelope', 9003, 'an encrypted column can be set and deleted, nothing else'],
  publicRead: ['readers', 9004, 'the ACL lets everybody read, whom nobody can encrypt for'],
  readerLeftOut: ['readers', 9005, 'the envelope cannot be opened by a user who is to read it'],
  authorLeftOut: ['author', 9006, 'the envelope cannot be opened by its author'],
  unknownRecipient: ['cards', 9007, 'the envelope names a key of no published card'],
});

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
 *       await guard(request);
 *       // the app's own checks
 *     });
 *
 * @param {object} Parse
 * @param {unknown} config
 * @returns {(request: object) => Promise<void>} throws a Parse.Error with a code from 9001 to 9007
 */
function createGuard(Parse, config) {
  const { classes, rules } = readConfig(config);
  rememberGuard(Parse, { classes, rules });
  const cards = new CardStore(Parse);
  const reports = new ReportStore(Parse);

  return async function guard(request) {
    const { object } = request;
    const fields = classes[object.className] ?? {};
    const dirty = new Set(object.dirtyKeys());
    for (const [field, declared] of Object.entries(fields)) {
      for (const problem of await problemsOf(request, field, declared, dirty)) {
        await act(object.className, field, problem);
      }
    }
  };

  async function act(className, field, problem) {
    const [rule, code, text] = PROBLEMS[problem];
    if (rules[rule] === 'enforce') throw new Parse.Error(code, `${className}.${field}: ${text}`);
    if (rules[rule] === 'report') await reports.count(className, field, problem);
  }

  async function problemsOf({ object, user }, field, declared, dirty) {
    const changed = dirty.has(field);
    // A reader who is added to the ACL alone cannot open what was encrypted before.
    if (!changed && !(dirty.has('ACL') && declared.readers === 'acl')) return [];
    if (changed && isOperation(object, field)) return ['operation'];
    const value = object.get(field);
    if (value === undefined || value === null) return [];
    const envelope = parseEnvelope(value);
    if (envelope === null) return changed ? ['notAnEnvelope'] : [];
    if (envelope.form !== declared.form) return changed ? ['wrongForm'] : [];
    return recipientProblems(object, user, declared, envelope);
  }

  async function recipientProblems(object, user, declared, envelope) {
    const problems = [];
    const { everybody, readers } = readersOf(object, declared.readers);
    const author = declared.author === null ? user?.id : object.get(declared.author);
    if (everybody) problems.push('publicRead');
    const asked = [
      ...(rules.readers === 'off' ? [] : readers),
      ...(rules.author === 'off' || typeof author !== 'string' ? [] : [author]),
    ];
    if (asked.length > MAX_RECIPIENTS) {
      problems.push('readerLeftOut'); // no envelope has so many; and each would cost a lookup
    } else if (asked.length > 0) {
      const named = new Set(envelope.recipients);
      const able = await usersNamed(asked, named);
      if (rules.readers !== 'off' && readers.some((reader) => !able.has(reader))) problems.push('readerLeftOut');
      if (rules.author !== 'off' && typeof author === 'string' && !able.has(author)) problems.push('authorLeftOut');
    }
    if (rules.cards !== 'off') {
      const known = new Set((await cards.findKeys(envelope.recipients)).map(({ keyId }) => keyId));
      if (envelope.recipients.some((id) => !known.has(id))) problems.push('unknownRecipient');
    }
    return problems;
  }

  /** Those of *userIds* of whom a card, current or older, is among the identifiers *named*. */
  async function usersNamed(userIds, named) {
    const able = new Set();
    for await (const card of cards.searchAll([...new Set(userIds)])) {
      const { keyId, longKeyId } = keyIdsOf(card);
      if (named.has(keyId) || named.has(longKeyId)) able.add(card.identity);
    }
    return able;
  }
}

/** Whether the field is changed by anything but setting or deleting it. */
function isOperation(object, field) {
  const operation = object.op(field)?.toJSON?.();
  return isObject(operation) && typeof operation.__op === 'string' && operation.__op !== 'Delete';
}

/** The users who are to read: of the ACL, or of the named columns. Roles are not resolved. */
function readersOf(object, declared) {
  if (declared === null) return { everybody: false, readers: [] };
  if (declared === 'acl') {
    const permissions = object.getACL()?.permissionsById ?? { '*': { read: true } };
    const readers = Object.keys(permissions).filter((who) => permissions[who]?.read);
    return {
      everybody: readers.includes('*'),
      readers: readers.filter((who) => who !== '*' && !who.startsWith('role:')),
    };
  }
  const readers = declared.flatMap((column) => object.get(column) ?? []).filter((id) => typeof id === 'string');
  return { everybody: false, readers };
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
  for (const className of Object.keys(config.classes)) Parse.Cloud.beforeSave(className, guard);
}

module.exports = { PROBLEMS, createGuard, installGuard, readConfig };
