'use strict';

const assert = require('node:assert/strict');

/** As much of Parse as the stores use, in memory: rows by class and object id. */
function memoryParse() {
  const classes = new Map();
  const rowsOf = (name) => {
    if (!classes.has(name)) classes.set(name, new Map());
    return classes.get(name);
  };

  class Schema {
    constructor(name) { this.name = name; }
    addField() { return this; }
    addIndex() { return this; }
    setCLP() { return this; }
    async save() {}
  }

  class Query {
    #tests = [];
    #limit = 100;
    #name;
    constructor(name) { this.#name = name; }
    equalTo(column, value) { this.#tests.push((row) => row[column] === value); return this; }
    containsAll(column, values) { this.#tests.push((row) => values.every((value) => row[column]?.includes(value))); return this; }
    containedIn(column, values) { this.#tests.push((row) => values.includes(row[column])); return this; }
    greaterThan(column, value) { this.#tests.push((row) => row[column] > value); return this; }
    select() { return this; }
    ascending() { return this; }
    limit(count) { this.#limit = count; return this; }
    #matching(options) {
      assert.deepEqual(options, { useMasterKey: true });
      return [...rowsOf(this.#name).values()].filter((row) => this.#tests.every((holds) => holds(row)));
    }
    async count(options) { return this.#matching(options).length; }
    async find(options) {
      return this.#matching(options)
        .sort((a, b) => (a.objectId < b.objectId ? -1 : 1))
        .slice(0, this.#limit)
        .map((row) => ({ id: row.objectId, get: (column) => row[column] }));
    }
  }

  const holds = (row, expected) => row && Object.entries(expected).every(([name, value]) => row[name] === value);
  const failure = (code) => Object.assign(new Error('database'), { code });
  const database = {
    async create(name, row) {
      await new Promise(setImmediate);
      if (rowsOf(name).has(row.objectId)) throw failure(137);
      rowsOf(name).set(row.objectId, { ...row });
    },
    async update(name, { objectId, ...expected }, fields) {
      await new Promise(setImmediate);
      if (!holds(rowsOf(name).get(objectId), expected)) throw failure(101);
      const row = rowsOf(name).get(objectId);
      for (const [column, value] of Object.entries(fields)) {
        row[column] = value?.__op === 'Increment' ? (row[column] ?? 0) + value.amount : value;
      }
    },
    async destroy(name, { objectId, ...expected }) {
      await new Promise(setImmediate);
      if (!holds(rowsOf(name).get(objectId), expected)) throw failure(101);
      rowsOf(name).delete(objectId);
    },
  };

  const functions = new Map();
  const triggers = new Map();
  const Cloud = {
    define: (name, run) => functions.set(name, run),
    afterDelete: (name, run) => triggers.set(`afterDelete ${name}`, run),
    beforeSave: (name, run) => triggers.set(`beforeSave ${name}`, run),
  };
  class ParseError extends Error {
    constructor(code, message) { super(message); this.code = code; }
  }
  return { Cloud, Error: ParseError, Schema, Query, Server: { database }, classes, functions, rowsOf, triggers };
}

module.exports = { memoryParse };
