'use strict';

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
 */
const PAGE_ROWS = 500;
const OBJECT_NOT_FOUND = 101;
const DUPLICATE_VALUE = 137;
const ATTEMPTS = 5;
const RETRY_MILLISECONDS = 150;
const CLOSED = Object.freeze({
  find: {}, get: {}, count: {}, create: {}, update: {}, delete: {}, addField: {}, protectedFields: {},
});
const MASTER = Object.freeze({ useMasterKey: true });

class ClosedClass {
  #Parse;
  #name;
  #columns;
  #indexed;
  #prepared = null;

  /**
   * @param {object} Parse the server's own
   * @param {string} name
   * @param {Record<string, 'String' | 'Number' | 'Array'>} columns
   * @param {string[]} indexed those that rows are looked up by
   */
  constructor(Parse, name, columns, indexed) {
    this.#Parse = Parse;
    this.#name = name;
    this.#columns = columns;
    this.#indexed = indexed;
  }

  /** Create the class, closed to clients; once per process, and again after a failure. */
  async prepare() {
    this.#prepared ??= this.#create().catch((error) => {
      this.#prepared = null;
      throw error;
    });
    return this.#prepared;
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

  async #complete() {
    const present = await new this.#Parse.Schema(this.#name).get();
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

  /** @returns {Promise<boolean>} false if the object id is taken */
  async insert(objectId, fields) {
    await this.prepare();
    const now = new Date().toISOString(); // bare, as Parse Server's own writes pass it
    const row = { objectId, ...fields, createdAt: now, updatedAt: now, ACL: {} };
    return this.#unless(DUPLICATE_VALUE, () => this.#database.create(this.#name, row, {}));
  }

  /** @returns {Promise<boolean>} false if no row has this object id and holds *expected* */
  async replace(objectId, expected, fields) {
    await this.prepare();
    const changed = { ...fields, updatedAt: new Date().toISOString() };
    return this.#unless(OBJECT_NOT_FOUND, () =>
      this.#database.update(this.#name, { objectId, ...expected }, changed, {}));
  }

  /** @returns {Promise<boolean>} false if no row has this object id and holds *expected* */
  async remove(objectId, expected = {}) {
    await this.prepare();
    return this.#unless(OBJECT_NOT_FOUND, () =>
      this.#database.destroy(this.#name, { objectId, ...expected }, {}));
  }

  async get(objectId) {
    return (await this.rows((query) => query.equalTo('objectId', objectId)))[0] ?? null;
  }

  /**
   * @param {(query: object) => unknown} restrict
   * @param {string[]} [columns] all by default
   * @param {(found: object[]) => void} [check] called with what was found so far, page by page;
   *   may throw, so that no more is read
   * @returns {Promise<object[]>} rows by object id
   */
  async rows(restrict, columns, check = () => {}) {
    await this.prepare();
    const all = [];
    for (let last = ''; ; last = all.at(-1).id) {
      const query = new this.#Parse.Query(this.#name);
      restrict(query);
      if (columns) query.select(...columns);
      if (last !== '') query.greaterThan('objectId', last);
      const page = await query.ascending('objectId').limit(PAGE_ROWS).find(MASTER);
      all.push(...page);
      check(all);
      if (page.length < PAGE_ROWS) return all;
    }
  }

  async count(restrict) {
    await this.prepare();
    const query = new this.#Parse.Query(this.#name);
    restrict(query);
    return query.count(MASTER);
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

/** Names of indexes are unique in a whole Postgres database. */
const indexName = (className, column) => `${className}_${column}`;

module.exports = { ClosedClass };
