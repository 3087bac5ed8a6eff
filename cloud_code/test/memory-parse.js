'use strict';

const assert = require('node:assert/strict');
const { randomBytes } = require('node:crypto');

const OPEN = Object.freeze(Object.fromEntries(
  ['find', 'get', 'count', 'create', 'update', 'delete', 'addField'].map((operation) => [operation, { '*': true }]),
));
const TYPES = { String: 'string', Number: 'number' };

/** As much of Parse as the companion uses, in memory: classes with permissions and typed columns, rows by id. */
function memoryParse() {
  const classes = new Map(); // name -> {fields, classLevelPermissions, indexes, rows}
  class ParseError extends Error {
    constructor(code, message) { super(message); this.code = code; }
  }
  const failure = (code) => new ParseError(code, 'database');
  const classOf = (name) => {
    if (!classes.has(name)) throw failure(103);
    return classes.get(name);
  };
  const rowsOf = (name) => classes.get(name)?.rows ?? new Map();
  const make = (name, { fields = {}, clp = OPEN, indexes = {} }) => {
    if (classes.has(name)) throw failure(103);
    classes.set(name, { fields, classLevelPermissions: { ...OPEN, ...clp }, indexes, rows: new Map() });
  };

  class Schema {
    #fields = {};
    #indexes = {};
    #clp;
    constructor(name) { this.name = name; }
    addField(name, type) { this.#fields[name] = { type }; return this; }
    addIndex(name, index) { this.#indexes[name] = index; return this; }
    setCLP(clp) { this.#clp = clp; return this; }
    async get() {
      const { fields, classLevelPermissions, indexes } = classOf(this.name);
      return structuredClone({ className: this.name, fields, classLevelPermissions, indexes });
    }
    async save() { make(this.name, { fields: this.#fields, clp: this.#clp, indexes: this.#indexes }); }
    async update() {
      const present = classOf(this.name);
      for (const name of Object.keys(this.#fields)) if (name in present.fields) throw failure(255);
      Object.assign(present.fields, this.#fields);
      Object.assign(present.indexes, this.#indexes);
      if (this.#clp) present.classLevelPermissions = { ...OPEN, ...this.#clp };
    }
    async delete() {
      if (classOf(this.name).rows.size > 0) throw failure(255);
      classes.delete(this.name);
    }
  }

  /** Values come out as they went in, not as the same object. */
  const toObject = (row) => {
    const { objectId, ...fields } = structuredClone(row);
    return { id: objectId, get: (column) => fields[column], toJSON: () => ({ objectId, ...fields }) };
  };

  class Query {
    #tests = [];
    #limit = 100;
    #name;
    constructor(name) { this.#name = name; }
    #where(test) { this.#tests.push(test); return this; }
    equalTo(column, value) { return this.#where((row) => row[column] === value); }
    containsAll(column, values) { return this.#where((row) => values.every((value) => row[column]?.includes(value))); }
    containedIn(column, values) { return this.#where((row) => values.includes(row[column])); }
    greaterThan(column, value) { return this.#where((row) => row[column] > value); }
    select(...columns) { this.columns = new Set([...columns, 'objectId']); return this; }
    ascending() { return this; }
    limit(count) { this.#limit = count; return this; }
    async find(options) {
      assert.deepEqual(options, { useMasterKey: true });
      const shown = (row) => Object.fromEntries(Object.entries(row).filter(([name]) => this.columns?.has(name) ?? true));
      return [...rowsOf(this.#name).values()]
        .filter((row) => this.#tests.every((holds) => holds(row)))
        .sort((a, b) => (a.objectId < b.objectId ? -1 : 1))
        .slice(0, this.#limit)
        .map((row) => toObject(shown(row)));
    }
    async first(options) { return (await this.limit(1).find(options))[0]; }
  }

  /** Columns have types; a value of another one is refused, as the databases do. */
  const check = (name, fields) => {
    const known = classOf(name).fields;
    for (const [column, value] of Object.entries(fields)) {
      if (['objectId', 'createdAt', 'updatedAt', 'ACL'].includes(column) || value?.__op === 'Increment') continue;
      assert.ok(column in known, `the column ${name}.${column} is declared`);
      const { type } = known[column];
      if (type === 'Array' ? !Array.isArray(value) : typeof value !== TYPES[type]) throw failure(111);
    }
  };
  const TESTS = {
    $exists: (value, wanted) => (value !== undefined && value !== null) === wanted,
    $gt: (value, bound) => value > bound,
    $lt: (value, bound) => value < bound,
    $lte: (value, bound) => value <= bound,
  };
  const matches = (value, wanted) => {
    if (wanted === null || typeof wanted !== 'object') return value === wanted;
    if (wanted.__type === 'Date') return value === wanted.iso;
    return Object.entries(wanted).every(([name, bound]) => TESTS[name](value, bound));
  };
  const holds = (row, expected) => row && Object.entries(expected).every(([name, value]) =>
    (name === '$or' ? value.some((one) => holds(row, one)) : matches(row[name], value)));
  const database = {
    async create(name, row) {
      await new Promise(setImmediate);
      check(name, row);
      if (rowsOf(name).has(row.objectId)) throw failure(137);
      rowsOf(name).set(row.objectId, structuredClone(row));
    },
    async update(name, { objectId, ...expected }, fields) {
      await new Promise(setImmediate);
      check(name, fields);
      if (!holds(rowsOf(name).get(objectId), expected)) throw failure(101);
      const row = rowsOf(name).get(objectId);
      for (const [column, value] of Object.entries(fields)) {
        row[column] = value?.__op === 'Increment' ? (row[column] ?? 0) + value.amount : structuredClone(value);
      }
    },
    async destroy(name, { objectId, ...expected }) {
      await new Promise(setImmediate);
      if (!holds(rowsOf(name).get(objectId), expected)) throw failure(101);
      rowsOf(name).delete(objectId);
    },
    async find(name, { objectId, ...expected }) {
      await new Promise(setImmediate);
      return holds(rowsOf(name).get(objectId), expected) ? [structuredClone(rowsOf(name).get(objectId))] : [];
    },
    async validateObject(name, fields) { check(name, fields); },
    async loadSchema() {
      return { getAllClasses: async () => [...classes].map(([className, { fields }]) => ({ className, fields })) };
    },
  };

  /** What a client without any rights can do: make a class, and rows with ids that the server chooses. */
  const clientCreate = (name, { objectId, ...fields }) => {
    if (objectId !== undefined && !Server.allowCustomObjectId) throw failure(105);
    if (!classes.has(name)) {
      const typed = Object.entries(fields).map(([column, value]) =>
        [column, { type: Array.isArray(value) ? 'Array' : typeof value === 'number' ? 'Number' : 'String' }]);
      make(name, { fields: Object.fromEntries(typed) });
    }
    if (!classOf(name).classLevelPermissions.create['*']) throw failure(119);
    const id = objectId ?? randomBytes(5).toString('hex');
    if (rowsOf(name).has(id)) throw failure(137);
    rowsOf(name).set(id, { objectId: id, ...fields });
    return id;
  };

  const Server = { database, allowCustomObjectId: false };
  const functions = new Map();
  const triggers = new Map();
  const Cloud = {
    define: (name, run) => functions.set(name, run),
    afterDelete: (name, run) => triggers.set(`afterDelete ${name}`, run),
    beforeSave: (name, run) => triggers.set(`beforeSave ${name}`, run),
    afterSave: (name, run) => triggers.set(`afterSave ${name}`, run),
  };
  return { Cloud, Error: ParseError, Schema, Query, Server, classes, clientCreate, functions, make, rowsOf, triggers };
}

module.exports = { memoryParse };
