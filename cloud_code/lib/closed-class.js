'use strict';

const { createHmac, timingSafeEqual } = require('node:crypto');
const { ServiceError } = require('./errors.js');

/**
 * A Parse class that only the master key opens, with the two writes that decide races.
 *
 * `insert` takes an object id: object ids are primary keys in every database behind Parse Server,
 * so of two inserts with one id exactly one happens. `replace` and `remove` name what the row has
 * to hold: the database compares and writes in one step. Both hold in one process or in many, and
 * a crash leaves the row as it was or as it should be.
 *
 * They go through `Parse.Server.database`, because only that takes an object id from a host
 * without `allowCustomObjectId`, and only that can compare and write. It runs no triggers.
 *
 * Where client class creation is on, a client can make a class of this name first, and fill it. So a
 * row counts only if it is ours, on every read: its object id is the one that its content gives, and
 * it carries our seal, a MAC over that id (rows of ours can be neither read nor changed by clients,
 * whatever the class permits: their ACL is empty). And a class that exists open to clients is
 * refused: the rows in it are somebody else's, and may be of other types. `repair` clears it.
 */
const PAGE_ROWS = 500;
const OBJECT_NOT_FOUND = 101;
const DUPLICATE_VALUE = 137;
const ATTEMPTS = 5;
const RETRY_MILLISECONDS = 150;
const CLOSED = Object.freeze({
  find: {}, get: {}, count: {}, create: {}, update: {}, delete: {}, addField: {}, protectedFields: {},
});
const OPERATIONS = Object.freeze(['find', 'get', 'count', 'create', 'update', 'delete', 'addField']);
const POINTER_PERMISSIONS = Object.freeze(['readUserFields', 'writeUserFields']);
const MASTER = Object.freeze({ useMasterKey: true });
const SEAL = 'seal';

class ClosedClass {
  #Parse;
  #key;
  #name;
  #columns;
  #indexed;
  #named;
  #idOf;
  #upgrade;
  #prepared = null;

  /**
   * @param {object} Parse the server's own
   * @param {Buffer} key what seals rows: `settings.rowKey`
   * @param {object} description
   * @param {string} description.name
   * @param {Record<string, 'String' | 'Number' | 'Array'>} description.columns
   * @param {string[]} [description.indexed] those that rows are looked up by
   * @param {string[]} description.named those that the object id is made of
   * @param {(row: object) => string} description.idOf of a row with the columns *named*, which
   *   may hold anything in a row that is not ours
   * @param {(row: object) => object} [description.upgrade] what a row of an earlier version lacks
   */
  constructor(Parse, key, { name, columns, indexed = [], named, idOf, upgrade = () => ({}) }) {
    this.#Parse = Parse;
    this.#key = key;
    this.#name = name;
    this.#columns = { ...columns, [SEAL]: 'String' };
    this.#indexed = indexed;
    this.#named = named;
    this.#idOf = idOf;
    this.#upgrade = upgrade;
  }

  get name() {
    return this.#name;
  }

  /**
   * Create the class, closed to clients; once per process, and again after a failure.
   *
   * @throws {ServiceError} openStorage: it exists, and is open to clients
   */
  async prepare() {
    if (this.#prepared !== null) {
      try {
        await this.#prepared;
        return;
      } catch (error) {
        if (error instanceof ServiceError) throw error;
        // Begun by somebody else, perhaps before the server answered: once more, from now on.
      }
    }
    this.#prepared ??= this.#create().catch((error) => {
      this.#prepared = null;
      throw error;
    });
    await this.#prepared;
  }

  async #create() {
    if (typeof this.#Parse.Server?.database?.create !== 'function') {
      throw new Error('encrypted_parse: this Parse Server has no Parse.Server.database; 5.6 or newer is needed');
    }
    let cause = null;
    for (let attempt = 0; attempt < ATTEMPTS; attempt += 1) {
      if (attempt > 0) await new Promise((resolve) => setTimeout(resolve, RETRY_MILLISECONDS));
      try {
        await (attempt === 0 ? this.#save() : this.#complete());
        return;
      } catch (error) {
        if (error instanceof ServiceError) throw error;
        // It is there already; or another process is making it at once, which databases report in
        // codes of their own. Closed and complete it has to be all the same.
        cause ??= error;
      }
    }
    throw cause;
  }

  async #save() {
    const schema = new this.#Parse.Schema(this.#name).setCLP(CLOSED);
    for (const [column, type] of Object.entries(this.#columns)) schema.addField(column, type);
    for (const column of this.#indexed) schema.addIndex(indexName(this.#name, column), { [column]: 1 });
    await schema.save();
  }

  /** Of a class that another process made, perhaps of an earlier version: what is missing. */
  async #complete() {
    const present = await new this.#Parse.Schema(this.#name).get();
    if (!isClosed(present.classLevelPermissions)) throw new ServiceError('openStorage');
    const update = new this.#Parse.Schema(this.#name).setCLP(CLOSED);
    for (const [column, type] of Object.entries(this.#columns)) {
      if (!(column in present.fields)) update.addField(column, type);
    }
    for (const column of this.#indexed) {
      const name = indexName(this.#name, column);
      if (!(name in (present.indexes ?? {}))) update.addIndex(name, { [column]: 1 });
    }
    await update.update();
  }

  /**
   * Close the class, then take away what is in it and is not ours. A class in which nothing is ours goes
   * as a whole, with its columns, and is made anew. Bounded: call it until it answers 0.
   *
   * Rows that an earlier version wrote, before there were seals, are sealed where clients cannot choose
   * object ids.
   *
   * @param {(row: object) => Promise<void>} keep puts a row that is not ours elsewhere, before it goes
   * @returns {Promise<number>} how many rows were taken away or sealed
   */
  async repair(keep) {
    const present = await new this.#Parse.Schema(this.#name).get().catch(() => null);
    if (present === null) return 0;
    const open = !isClosed(present.classLevelPermissions);
    if (open) await new this.#Parse.Schema(this.#name).setCLP(CLOSED).update();
    let done = 0;
    let ours = 0;
    for (let last = '', more = true; more && done < PAGE_ROWS;) {
      const page = await this.#page(() => {}, undefined, last);
      for (const row of page) {
        if (this.#isOurs(row)) {
          ours += 1;
          continue;
        }
        done += 1;
        if (this.#isOlder(row)) {
          ours += 1;
          await this.#database.update(this.#name, { objectId: row.id }, { ...this.#upgrade(row), ...this.#seal(row.id) }, {});
        } else {
          await keep(row);
          await this.#database.destroy(this.#name, { objectId: row.id }, {});
        }
      }
      more = page.length === PAGE_ROWS;
      last = page.at(-1)?.id;
      if (!more && ours === 0 && (open || done > 0)) await new this.#Parse.Schema(this.#name).delete();
    }
    this.#prepared = null;
    await this.prepare();
    return done;
  }

  /** @returns {Promise<boolean>} false if the object id is taken */
  async insert(objectId, fields) {
    await this.prepare();
    const now = new Date().toISOString(); // bare, as Parse Server's own writes pass it
    const row = { objectId, ...fields, ...this.#seal(objectId), createdAt: now, updatedAt: now, ACL: {} };
    return this.#unless(DUPLICATE_VALUE, () => this.#database.create(this.#name, row, {}));
  }

  /** @returns {Promise<boolean>} false if no row has this object id and holds *expected* */
  async replace(objectId, expected, fields) {
    await this.prepare();
    const changed = { ...fields, updatedAt: new Date().toISOString() };
    return this.#unless(OBJECT_NOT_FOUND, () =>
      this.#database.update(this.#name, { objectId, ...this.#seal(objectId), ...expected }, changed, {}));
  }

  /** @returns {Promise<boolean>} false if no row has this object id and holds *expected* */
  async remove(objectId, expected = {}) {
    await this.prepare();
    return this.#unless(OBJECT_NOT_FOUND, () =>
      this.#database.destroy(this.#name, { objectId, ...this.#seal(objectId), ...expected }, {}));
  }

  async get(objectId) {
    return (await this.rows((query) => query.equalTo('objectId', objectId)))[0] ?? null;
  }

  /**
   * @param {(query: object) => unknown} restrict
   * @param {string[]} [columns] beside those that the object id is made of; all by default
   * @param {(found: object[]) => void} [check] called with what was found so far, page by page;
   *   may throw, so that no more is read
   * @returns {Promise<object[]>} rows of ours by object id
   */
  async rows(restrict, columns, check = () => {}) {
    await this.prepare();
    const all = [];
    for (let last = ''; ;) {
      const page = await this.#page(restrict, columns, last);
      for (const row of page) if (this.#isOurs(row)) all.push(row);
      check(all);
      if (page.length < PAGE_ROWS) return all;
      last = page.at(-1).id;
    }
  }

  async #page(restrict, columns, last) {
    const query = new this.#Parse.Query(this.#name);
    restrict(query);
    if (columns !== undefined) query.select(...this.#named, ...columns, SEAL);
    if (last !== '') query.greaterThan('objectId', last);
    return query.ascending('objectId').limit(PAGE_ROWS).find(MASTER);
  }

  #isOurs(row) {
    const [found, right] = [row.get(SEAL), this.#seal(row.id)[SEAL]].map((text) => Buffer.from(String(text)));
    return found.length === right.length && timingSafeEqual(found, right) && this.#hasItsId(row);
  }

  /** Written before rows had seals. Only we choose object ids, unless the server lets clients. */
  #isOlder(row) {
    return row.get(SEAL) === undefined && this.#Parse.Server.allowCustomObjectId !== true && this.#hasItsId(row);
  }

  #hasItsId(row) {
    return this.#idOf(row) === row.id;
  }

  #seal(objectId) {
    return { [SEAL]: createHmac('sha256', this.#key).update(`${this.#name} ${objectId}`).digest('base64') };
  }

  get #database() {
    return this.#Parse.Server.database;
  }

  async #unless(code, write) {
    try {
      await write();
      return true;
    } catch (error) {
      if (error.code === code) return false;
      throw error;
    }
  }
}

/** Whether clients may do nothing with a class. What its permissions do not name is permitted. */
function isClosed(permissions) {
  const none = (operation) => Object.keys(permissions?.[operation] ?? { '*': true }).length === 0;
  return OPERATIONS.every(none) && POINTER_PERMISSIONS.every((name) => (permissions[name] ?? []).length === 0);
}

/** Names of indexes are unique in a whole Postgres database. */
const indexName = (className, column) => `${className}_${column}`;

module.exports = { ClosedClass };
