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
const ATTEMPTS = 50; // of a write that others keep overtaking

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
 */
class KeyknoxStore {
  #rows;

  /** @param {object} Parse the server's own */
  constructor(Parse) {
    this.#rows = new ClosedClass(Parse, CLASS_NAME, {
      kind: 'String', owner: 'String', root: 'String', path: 'String', entry: 'String',
      recipients: 'Array', copies: 'String', hash: 'String', revision: 'Number',
    }, ['owner']);
  }

  /** Create the class, closed to clients. */
  prepare() {
    return this.#rows.prepare();
  }

  /** @param {Address} address @returns {Promise<Record | null>} */
  async get(address) {
    const row = await this.#rows.get(rowId(address));
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
   * @throws {ServiceError} hashMismatch if the record is another by now
   */
  async push(address, recipients, copy, previousHash) {
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
    if (present === null) {
      const count = await this.#rows.count((query) => query.equalTo('owner', address.owner));
      if (count >= MAX_RECORDS_PER_OWNER) throw new ServiceError('tooManyRecords');
    }
    const written = present === null
      ? await this.#rows.insert(rowId(address), fields)
      : await this.#rows.replace(rowId(address), { revision: present.revision }, fields);
    if (!written) throw new ServiceError('hashMismatch');
    return next;
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
      if (await this.#rows.replace(rowId(address), { revision: present.revision }, toFields(next))) {
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
    const rows = await this.#rows.rows((query) => {
      query.equalTo('kind', 'v2');
      for (const [member, column] of Object.entries(COLUMNS)) {
        if (part[member] !== undefined) query.equalTo(column, part[member]);
      }
      // Not equalTo, which fails on Postgres for a column of type Array.
      if (recipient !== undefined) query.containsAll('recipients', [recipient]);
    }, Object.values(COLUMNS));
    return rows.map(toAddress);
  }

  /** Delete a record. @param {Address} address */
  async remove(address) {
    await this.#rows.remove(rowId(address));
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
        ? await this.#rows.remove(rowId(address), held)
        : await this.#rows.replace(rowId(address), held, toFields({ ...present, revision: present.revision + 1 }));
      if (written) return present.copies.size === 0 ? EMPTY_HASH : present.hash;
    }
    throw new ServiceError('hashMismatch');
  }

  /** Delete everything that *owner* keeps: its Parse user was deleted. @param {string} owner */
  async removeAll(owner) {
    for (const row of await this.#rows.rows((query) => query.equalTo('owner', owner), ['owner'])) {
      await this.#rows.remove(row.id);
    }
  }
}

const COLUMNS = Object.freeze({ owner: 'owner', root: 'root', path: 'path', key: 'entry' });

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
  return { ...place, owner, recipients: [...copies.keys()], copies: list, hash, revision };
}

function toAddress(row) {
  return Object.fromEntries(Object.entries(COLUMNS).map(([member, column]) => [member, row.get(column)]));
}

function toRecord(row) {
  const copies = JSON.parse(row.get('copies')).map(([recipient, meta, value]) => [recipient, { meta, value }]);
  return { address: toAddress(row), copies: new Map(copies), hash: row.get('hash'), revision: row.get('revision') };
}

module.exports = { CLASS_NAME, EMPTY_HASH, KeyknoxStore };
