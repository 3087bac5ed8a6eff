'use strict';

const { createHash } = require('node:crypto');
const { ClosedClass } = require('./closed-class.js');

/**
 * How often each problem was met in `report` mode: one row for each class, field and problem, in
 * a class that only the master key opens (`encrypted-parse guard report` reads it).
 */
const CLASS_NAME = 'EncryptedParseReport';

class ReportStore {
  /**
   * @param {object} Parse the server's own
   * @param {import('./settings.js').Settings} settings
   */
  constructor(Parse, settings) {
    this.rows = new ClosedClass(Parse, settings.rowKey, {
      name: CLASS_NAME,
      columns: { guardedClass: 'String', field: 'String', problem: 'String', count: 'Number', lastAt: 'String' },
      named: ['guardedClass', 'field', 'problem'],
      idOf: (row) => rowId(row.get('guardedClass'), row.get('field'), row.get('problem')),
    });
  }

  async count(className, field, problem) {
    const id = rowId(className, field, problem);
    const lastAt = new Date().toISOString();
    const more = { count: { __op: 'Increment', amount: 1 }, lastAt };
    if (await this.rows.replace(id, {}, more)) return;
    const first = { guardedClass: className, field, problem, count: 1, lastAt };
    if (!(await this.rows.insert(id, first))) await this.rows.replace(id, {}, more);
  }
}

const rowId = (...parts) => createHash('sha256').update(JSON.stringify(parts)).digest('hex');

module.exports = { CLASS_NAME, ReportStore };
