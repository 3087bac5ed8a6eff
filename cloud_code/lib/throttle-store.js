'use strict';

const { createHash } = require('node:crypto');
const { ClosedClass } = require('./closed-class.js');

/**
 * When each identity was last let through: one row an identity. The database decides which of several
 * calls in one moment goes first, in one process or in many.
 */
const CLASS_NAME = 'VirgilBrainKey';

class ThrottleStore {
  /**
   * @param {object} Parse the server's own
   * @param {import('./settings.js').Settings} settings
   */
  constructor(Parse, settings) {
    this.rows = new ClosedClass(Parse, settings.rowKey, {
      name: CLASS_NAME,
      columns: { identity: 'String', at: 'Number' },
      named: ['identity'],
      idOf: (row) => rowId(row.get('identity')),
    });
  }

  /**
   * Let a call through, unless the last one that was is too recent; refusals do not count.
   *
   * @param {string} identity
   * @param {number} now milliseconds
   * @param {number} window milliseconds
   * @returns {Promise<boolean>} false if the call has to wait
   */
  async pass(identity, now, window) {
    const id = rowId(identity);
    const row = await this.rows.get(id);
    if (row === null) return this.rows.insert(id, { identity, at: now });
    const at = row.get('at');
    // The clocks of processes differ; a time far ahead is an error of one of them, not a claim.
    if (Math.abs(now - at) < window) return false;
    return this.rows.replace(id, { at }, { at: now });
  }

  /** @param {string} identity */
  async forget(identity) {
    await this.rows.remove(rowId(identity));
  }
}

const rowId = (identity) => createHash('sha256').update(JSON.stringify(['brainkey', String(identity)])).digest('hex');

module.exports = { CLASS_NAME, ThrottleStore };
