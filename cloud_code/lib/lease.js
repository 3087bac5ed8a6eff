'use strict';

const { isObject } = require('./encoding.js');
const { rememberCompared } = require('./features.js');
const { TAG, tagOf } = require('./tags.js');

/**
 * The lease: conditional writes inside `beforeSave`, which Parse Server does not have.
 *
 * One Number column of every guarded class decides between writers:
 *
 * - A writer with If-Match (the header `X-Parse-Cloud-Context: {"ifMatch": {"<objectId>": {"<column>":
 *   "<tag>"}}}`) takes the lease exclusively, in one step of the database that also looks whether the row
 *   is the one whose tags were compared. Its ordinary write stores the value and releases the lease.
 * - Every other writer only announces itself, since its write may fail after `beforeSave`, and must then
 *   lock nobody out but those with If-Match, for a moment. After its write the announcement is taken back.
 *
 * Positive: when it was taken exclusively. Negative: when it was announced; with a fraction if nobody
 * else had announced, so that whoever made it may take it back. Null or 0: free.
 *
 * Nothing may come between the lease and the write: the guard is the last statement of a `beforeSave`.
 */
const COLUMN = 'guardLease';
const CODES = Object.freeze({ changed: 9017, busy: 9018, column: 9019, malformed: 9020 });
const OBJECT_NOT_FOUND = 101;

const HOLD_MILLISECONDS = 3_000; // longer than clocks differ and a write takes, from its announcement on
const EXPIRY_MILLISECONDS = 75_000; // of an exclusive lease whose writer has vanished
const SKEW_MILLISECONDS = 15_000; // a lease from further ahead is a wrong clock's
const POLL_MILLISECONDS = 20;
const WAIT_MILLISECONDS = 2_000; // of an ordinary writer
const PATIENCE_MILLISECONDS = HOLD_MILLISECONDS + 1_000; // of one with If-Match: past any announcement
const STEP_MILLISECONDS = 2_000; // of one statement: within a transaction it may wait for its own

/** Under which `beforeSave` tells `afterSave` what it announced; no client can send a symbol. */
const ANNOUNCED = Symbol('guardLease');

/**
 * @param {object} Parse
 * @param {Record<string, Record<string, {readers: 'acl' | string[] | null, author: string | null}>>} classes
 */
function createLease(Parse, classes) {
  const compared = Object.fromEntries(Object.entries(classes).map(([name, fields]) => [name, columnsOf(fields)]));
  rememberCompared(Parse, compared);
  const prepared = new Map();
  const fail = (problem, text) => { throw new Parse.Error(CODES[problem], text); };

  /** The column has to be there before the database is asked about it: on MongoDB it would stay. */
  function prepare(className) {
    if (!prepared.has(className)) {
      prepared.set(className, makeColumn(Parse, className).catch((error) => {
        prepared.delete(className);
        throw error;
      }));
    }
    return prepared.get(className);
  }

  /**
   * Refuse what is written to the column itself.
   *
   * @param {object} request of `beforeSave`
   */
  function refuseColumn({ object }) {
    if (object.dirtyKeys().includes(COLUMN)) {
      fail('column', `${object.className}.${COLUMN} is the guard's own; leave it out`);
    }
  }

  /**
   * Claim the row for the write that follows.
   *
   * @param {object} request of `beforeSave`
   * @throws {Parse.Error} changed: the row is not what the client has read; busy; malformed
   */
  async function claim(request) {
    const { object, original } = request;
    if (!original || !(object.className in compared)) return;
    const expected = expectedOf(request, compared[object.className]);
    await prepare(object.className);
    const database = request.config?.database ?? Parse.Server.database;
    if (expected === null) await announce(request, database);
    else await take(request, database, expected);
  }

  function expectedOf({ object, context }, columns) {
    if (context?.ifMatch === undefined) return null;
    const { ifMatch } = context;
    const malformed = () => fail('malformed', `ifMatch of ${object.className} is malformed`);
    if (!isObject(ifMatch) || Object.keys(ifMatch).length === 0) malformed();
    if (!Object.hasOwn(ifMatch, object.id)) return null;
    const tags = ifMatch[object.id];
    if (!isObject(tags) || Object.keys(tags).length === 0) malformed();
    for (const [column, tag] of Object.entries(tags)) {
      if (!columns.has(column) || typeof tag !== 'string' || !TAG.test(tag)) malformed();
    }
    return tags;
  }

  async function take({ object, original, user, master }, database, tags) {
    const stored = original.toJSON();
    const changed = () => fail('changed', `${object.className} was changed since it was read`);
    for (const [column, tag] of Object.entries(tags)) if (tagOf(column, stored[column]) !== tag) changed();
    // A write that its types forbid would fail behind the lease, and lock the row.
    const rights = master ? {} : { acl: ['*', ...(user ? [user.id] : [])] };
    const written = Object.fromEntries(Object.entries(object._getSaveJSON()).filter(([name]) => name !== 'ACL'));
    await database.validateObject(object.className, written, { objectId: object.id }, rights);
    // Between reading the original and leasing somebody may have written: then it is another row.
    const same = { updatedAt: { __type: 'Date', iso: original.updatedAt.toISOString() } };
    for (const column of Object.keys(tags)) if (typeof stored[column] === 'string') same[column] = stored[column];
    const isSame = async () => (await database.find(object.className, { objectId: object.id, ...same }, {})).length > 0;
    const update = (now) => ({ query: { ...same, $or: untouched(now) }, value: now });
    if (!await tryFor(PATIENCE_MILLISECONDS, database, object, update, isSame)) changed();
    object.set(COLUMN, 0);
  }

  async function announce({ object, context }, database) {
    const sole = (now) => ({ query: { $or: untouched(now) }, value: -(now + 0.25 + Math.random() / 2) });
    const mine = await attempt(database, object, sole(Date.now()));
    if (mine !== null) {
      if (context) context[ANNOUNCED] = mine;
      return;
    }
    const exists = async () => (await database.find(object.className, { objectId: object.id }, {})).length > 0;
    const update = (now) => ({ query: { $or: notTaken(now) }, value: -now });
    if (!await tryFor(WAIT_MILLISECONDS, database, object, update, exists)) {
      throw new Parse.Error(OBJECT_NOT_FOUND, 'Object not found.');
    }
  }

  /** @returns {Promise<boolean>} false if, after a miss, there is nothing more to wait for */
  async function tryFor(milliseconds, database, object, update, isWorthIt) {
    const end = Date.now() + milliseconds;
    for (;;) {
      if (await attempt(database, object, update(Date.now())) !== null) return true;
      if (!await isWorthIt()) return false;
      if (Date.now() > end) fail('busy', `${object.className}: the row is being written by somebody else`);
      await new Promise((resolve) => setTimeout(resolve, POLL_MILLISECONDS));
    }
  }

  /** @returns {Promise<number | null>} what the column holds now, or null if the row does not match */
  async function attempt(database, { className, id }, { query, value }) {
    const step = database.update(className, { objectId: id, ...query }, { [COLUMN]: value }, {});
    let timer;
    const late = new Promise((_, reject) => {
      const busy = new Parse.Error(CODES.busy, `${className}: the row is locked by another write`);
      timer = setTimeout(() => reject(busy), STEP_MILLISECONDS);
    });
    try {
      await Promise.race([step, late]);
      return value;
    } catch (error) {
      if (error.code === OBJECT_NOT_FOUND) return null;
      step.catch(() => {}); // it may end later
      throw error;
    } finally {
      clearTimeout(timer);
    }
  }

  /**
   * Take back what `beforeSave` announced: for `afterSave`. Where the server does not say whether this is
   * a transaction (before Parse Server 9), the announcement ages instead.
   *
   * @param {object} request of `afterSave`
   */
  async function release({ object, context, config }) {
    const mine = context?.[ANNOUNCED];
    if (mine === undefined || !config?.database) return;
    delete context[ANNOUNCED];
    await attempt(config.database, object, { query: { [COLUMN]: mine }, value: 0 }).catch(() => {});
  }

  return { claim, prepare, refuseColumn, release };
}

/** Free for a writer with If-Match. */
const untouched = (now) => [
  { [COLUMN]: { $exists: false } },
  { [COLUMN]: { $lte: 0, $gt: -(now - HOLD_MILLISECONDS) } },
  { [COLUMN]: { $lt: -(now + SKEW_MILLISECONDS) } },
  ...abandoned(now),
];

/** Free for any other. */
const notTaken = (now) => [{ [COLUMN]: { $exists: false } }, { [COLUMN]: { $lte: 0 } }, ...abandoned(now)];

const abandoned = (now) => [
  { [COLUMN]: { $gt: 0, $lt: now - EXPIRY_MILLISECONDS } },
  { [COLUMN]: { $gt: now + SKEW_MILLISECONDS } },
];

/** What decides who reads, whose the values are, and the values: as `remembered_columns` of tags.py. */
function columnsOf(fields) {
  const columns = new Set(['ACL', ...Object.keys(fields)]);
  for (const { readers, author } of Object.values(fields)) {
    for (const column of Array.isArray(readers) ? readers : []) columns.add(column);
    if (author !== null) columns.add(author);
  }
  return columns;
}

/** Make the column with the master key's rights, hidden from clients; as often as one likes. */
async function makeColumn(Parse, className) {
  const isThere = async () => COLUMN in (await new Parse.Schema(className).get()).fields;
  if (await isThere()) return;
  const { classLevelPermissions: permissions } = await new Parse.Schema(className).get();
  const hidden = { ...permissions?.protectedFields };
  hidden['*'] = [...new Set([...(hidden['*'] ?? []), COLUMN])];
  try {
    await new Parse.Schema(className).addField(COLUMN, 'Number').setCLP({ ...permissions, protectedFields: hidden }).update();
  } catch (error) {
    if (!await isThere()) throw error; // else another process was faster
  }
  await Parse.Server.database.loadSchema({ clearCache: true });
}

module.exports = { CODES, COLUMN, HOLD_MILLISECONDS, createLease };
