'use strict';

const { createHash } = require('node:crypto');
const { ClosedClass } = require('./closed-class.js');
const { ServiceError } = require('./errors.js');

/**
 * Keyknox records in a Parse class that only the master key opens (services document, section 4).
 *
 * One row is one record: all recipients' copies and the one hash, so a write is one comparison
 * and one replacement in the database. `revision` counts writes and is what is compared; it never
 * goes back, so a row cannot be mistaken for an earlier state of itself. The object id is a digest
 * of the record's address, so of two first pushes exactly one inserts.
 */
const CLASS_NAME = 'VirgilKeyknox';
const MAX_RECORDS_PER_OWNER = 10_000;
const MAX_COPIES = 500; // E3Kit's groups have 100 members
const MAX_COPIES_CHARACTERS = 8 * 1024 * 1024; // a row of MongoDB holds 16 MB
const ROW_BYTES = 256; // of what every record has, so that empty ones are not free
const ATTEMPTS = 50; // of a write that others keep overtaking

const COLUMNS = Object.freeze({ owner: 'owner', root: 'root', path: 'path', key: 'entry' });

/** The hash of a record without a value: SHA-512 of nothing. */
const EMPTY_HASH = createHash('sha512').digest('base64');

/**
 * @typedef {object} Address owner, root, path and key of a v2 record; v1's has an owner alone
 * @typedef {{meta: string, value: string}} Copy both base64
 * @typedef {object} Record
 * @property {Address} address
 * @property {Map<string, Copy>} copies by recipient
 * @property {string} hash
 * @property {number} revision
 * @property {number} [size] bytes that count for the owner's quota; of a record that was read
 */
class KeyknoxStore {
  #quotaBytes;
  #pushing = new Map();

  /**
   * @param {object} Parse the server's own
   * @param {import('./settings.js').Settings} settings
   */
  constructor(Parse, settings) {
    this.#quotaBytes = settings.keyknoxBytes;
    this.rows = new ClosedClass(Parse, settings.rowKey, {
      name: CLASS_NAME,
      columns: {
        kind: 'String', owner: 'String', root: 'String', path: 'String', entry: 'String',
        recipients: 'Array', copies: 'String', hash: 'String', revision: 'Number', size: 'Number',
      },
      indexed: ['owner'],
      named: ['kind', ...Object.values(COLUMNS)],
      idOf: (row) => rowId(row.get('kind') === 'v1' ? { owner: row.get('owner') } : toAddress(row)),
      upgrade: (row) => ({ size: String(row.get('copies')).length }),
    });
  }

  /** @param {Address} address @returns {Promise<Record | null>} */
  async get(address) {
    const row = await this.rows.get(rowId(address));
    return row === null ? null : toRecord(row);
  }

  /**
   * Give each of *recipients* the copy, and leave other recipients' copies alone.
   *
   * @param {Address} address
   * @param {string[]} recipients
   * @param {Copy} copy
   * @param {string | undefined} previousHash what the client saw
   * @returns {Promise<Record>}
   * @throws {ServiceError} hashMismatch if the record is another by now; quotaExceeded
   */
  async push(address, recipients, copy, previousHash) {
    return this.#oneAtATime(address.owner, async () => {
      const present = await this.get(address);
      const hasValue = present !== null && present.copies.size > 0;
      const expected = hasValue ? present.hash : EMPTY_HASH;
      if (hasValue ? previousHash !== expected : (previousHash ?? EMPTY_HASH) !== expected) {
        throw new ServiceError('hashMismatch');
      }
      const copies = new Map(present?.copies);
      for (const recipient of recipients) copies.set(recipient, copy);
      const next = { address, copies, hash: hashOf(copy), revision: (present?.revision ?? 0) + 1 };
      const fields = toFields(next);
      await this.#checkQuota(address, fields.size, present);
      const written = present === null
        ? await this.rows.insert(rowId(address), fields)
        : await this.rows.replace(rowId(address), { revision: present.revision }, fields);
      if (!written) throw new ServiceError('hashMismatch');
      return next;
    });
  }

  /** What is written has to fit beside the owner's other records; what gets smaller always does. */
  async #checkQuota({ owner }, size, present) {
    if (present !== null && size <= present.size) return;
    const rows = await this.rows.rows((query) => query.equalTo('owner', owner), ['size']);
    if (present === null && rows.length >= MAX_RECORDS_PER_OWNER) throw new ServiceError('tooManyRecords');
    const used = rows.reduce((sum, row) => sum + row.get('size'), 0) - (present?.size ?? 0);
    if (used + size > this.#quotaBytes) throw new ServiceError('quotaExceeded');
  }

  /**
   * Run the pushes of one owner in turn, so that a crowd of them cannot pass the quota together. Another
   * process can let one more through in the same moment; only that.
   */
  async #oneAtATime(owner, run) {
    const before = this.#pushing.get(owner);
    const mine = (before ?? Promise.resolve()).then(run);
    const settled = mine.then(() => {}, () => {});
    this.#pushing.set(owner, settled);
    try {
      return await mine;
    } finally {
      if (this.#pushing.get(owner) === settled) this.#pushing.delete(owner);
    }
  }

  /**
   * Empty a record but keep its count of writes.
   *
   * @param {Address} address
   * @returns {Promise<number>} the count after this write; 0 if there is no record
   */
  async clear(address) {
    for (let attempt = 0; attempt < ATTEMPTS; attempt += 1) {
      const present = await this.get(address);
      if (present === null) return 0;
      const next = { address, copies: new Map(), hash: EMPTY_HASH, revision: present.revision + 1 };
      if (await this.rows.replace(rowId(address), { revision: present.revision }, toFields(next))) {
        return next.revision;
      }
    }
    throw new ServiceError('hashMismatch');
  }

  /**
   * @param {{owner: string, root?: string, path?: string, key?: string}} part of an address
   * @param {string} [recipient] only records with a copy for this identity
   * @returns {Promise<Address[]>}
   */
  async find(part, recipient) {
    const rows = await this.rows.rows((query) => {
      query.equalTo('kind', 'v2');
      for (const [member, column] of Object.entries(COLUMNS)) {
        if (part[member] !== undefined) query.equalTo(column, part[member]);
      }
      // Not equalTo, which fails on Postgres for a column of type Array.
      if (recipient !== undefined) query.containsAll('recipients', [recipient]);
    }, []);
    return rows.map(toAddress);
  }

  /** Delete a record. @param {Address} address */
  async remove(address) {
    await this.rows.remove(rowId(address));
  }

  /**
   * Delete one recipient's copy; the hash stays, and a record without copies goes.
   *
   * @param {Address} address
   * @param {string} recipient
   * @returns {Promise<string>} the record's hash
   */
  async removeCopy(address, recipient) {
    for (let attempt = 0; attempt < ATTEMPTS; attempt += 1) {
      const present = await this.get(address);
      if (present === null) return EMPTY_HASH;
      if (!present.copies.delete(recipient)) return present.hash;
      const held = { revision: present.revision };
      const written = present.copies.size === 0
        ? await this.rows.remove(rowId(address), held)
        : await this.rows.replace(rowId(address), held, toFields({ ...present, revision: present.revision + 1 }));
      if (written) return present.copies.size === 0 ? EMPTY_HASH : present.hash;
    }
    throw new ServiceError('hashMismatch');
  }

  /** Delete everything that *owner* keeps: its Parse user was deleted. @param {string} owner */
  async removeAll(owner) {
    for (const row of await this.rows.rows((query) => query.equalTo('owner', owner), [])) {
      await this.rows.remove(row.id);
    }
  }
}

/** A digest keeps any address within what an object id may hold. */
function rowId({ owner, root, path, key }) {
  const parts = root === undefined ? ['v1', owner] : ['v2', owner, root, path, key];
  return createHash('sha256').update(JSON.stringify(parts)).digest('hex');
}

/** What the hash is over is ours to choose: clients only send it back. */
const hashOf = ({ meta, value }) =>
  createHash('sha512').update(Buffer.from(meta, 'base64')).update(Buffer.from(value, 'base64')).digest('base64');

function toFields({ address: { owner, root, path, key }, copies, hash, revision }) {
  // A list: identities as members of an object would meet names that objects reserve.
  const list = JSON.stringify([...copies].map(([recipient, { meta, value }]) => [recipient, meta, value]));
  if (copies.size > MAX_COPIES || list.length > MAX_COPIES_CHARACTERS) throw new ServiceError('recordTooLarge');
  const place = root === undefined ? { kind: 'v1' } : { kind: 'v2', root, path, entry: key };
  const recipients = [...copies.keys()];
  const size = ROW_BYTES + Buffer.byteLength(list) + Buffer.byteLength(JSON.stringify([place, recipients]));
  return { ...place, owner, recipients, copies: list, hash, revision, size };
}

function toAddress(row) {
  return Object.fromEntries(Object.entries(COLUMNS).map(([member, column]) => [member, row.get(column)]));
}

function toRecord(row) {
  const copies = JSON.parse(row.get('copies')).map(([recipient, meta, value]) => [recipient, { meta, value }]);
  return {
    address: toAddress(row), copies: new Map(copies), hash: row.get('hash'), revision: row.get('revision'), size: row.get('size'),
  };
}

module.exports = { CLASS_NAME, EMPTY_HASH, KeyknoxStore };
