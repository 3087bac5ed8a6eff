'use strict';

const { createHash } = require('node:crypto');
const { ClosedClass } = require('./closed-class.js');

/**
 * What was found in the companion's classes and is not the companion's: kept for the operator to look
 * at, in a class that only the master key opens.
 */
const CLASS_NAME = 'EncryptedParseForeign';
const MAX_CONTENT_CHARACTERS = 1024 * 1024; // enough to see what it is

class ForeignStore {
  /**
   * @param {object} Parse the server's own
   * @param {import('./settings.js').Settings} settings
   */
  constructor(Parse, settings) {
    this.rows = new ClosedClass(Parse, settings.rowKey, {
      name: CLASS_NAME,
      columns: { fromClass: 'String', fromId: 'String', content: 'String', movedAt: 'String' },
      named: ['fromClass', 'fromId'],
      idOf: (row) => rowId(row.get('fromClass'), row.get('fromId')),
    });
  }

  /**
   * @param {string} className
   * @param {object} row
   */
  async keep(className, row) {
    if (className === CLASS_NAME) return; // nobody else's business either
    let content;
    try {
      content = JSON.stringify(row.toJSON()).slice(0, MAX_CONTENT_CHARACTERS);
    } catch {
      content = ''; // stored in a form that cannot be encoded
    }
    const fields = { fromClass: className, fromId: row.id, content, movedAt: new Date().toISOString() };
    await this.rows.insert(rowId(className, row.id), fields);
  }
}

const rowId = (className, id) => createHash('sha256').update(JSON.stringify([className, id])).digest('hex');

module.exports = { CLASS_NAME, ForeignStore };
