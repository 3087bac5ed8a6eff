'use strict';

const { createHash } = require('node:crypto');
const { ClosedClass } = require('./closed-class.js');

/**
 * How often each problem was met in `report` mode: one row for each class, field and problem, in
 * a class that only the master key opens (`encrypted-parse guard report` reads it).
 */
const CLASS_NAME = 'EncryptedParseReport';

class ReportStore {
  #rows;

  /** @param {object} Parse the server's own */
  constructor(Parse) {
    this.#rows = new ClosedClass(Parse, CLASS_NAME, {
      guardedClass: 'String', field: 'String', problem: 'String', count: 'Number', lastAt: 'String',
    }, []);
  }

  /** Create the class, closed to clients. */
  prepare() {
    return this.#rows.prepare();
  }

  async count(className, field, problem) {
    const id = createHash('sha256').update(JSON.stringify([className, field, problem])).digest('hex');
    const lastAt = new Date().toISOString();
    const more = { count: { __op: 'Increment', amount: 1 }, lastAt };
    if (await this.#rows.replace(id, {}, more)) return;
    const first = { guardedClass: className, field, problem, count: 1, lastAt };
    if (!(await this.#rows.insert(id, first))) await this.#rows.replace(id, {}, more);
  }
}

module.exports = { CLASS_NAME, ReportStore };
