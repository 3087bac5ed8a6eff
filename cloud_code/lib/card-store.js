'use strict';

const { createHash } = require('node:crypto');
const { ServiceError } = require('./errors.js');

/**
 * Cards in a Parse class that only the master key opens.
 *
 * The class is append-only, and what a row *follows* is its object id: a first card takes the
 * slot `root:IDENTITY:N` (N = how many chains of the identity ended before), a successor takes
 * `next:CARD`, and a revocation takes `next:CARD` of the chain's current card too. Object ids are
 * primary keys in every database behind Parse Server, so of two racing registrations, successors
 * or revocations exactly one is inserted, in one process or in many, and a crash leaves a row or
 * none. Whether a card is current, superseded or revoked is read from which slots are taken.
 *
 * Rows are inserted through `Parse.Server.database`, because only that lets a host without
 * `allowCustomObjectId` choose an object id.
 */
const CLASS_NAME = 'VirgilCard';
const MAX_CARDS_PER_IDENTITY = 200; // bounds what one search answer holds
const PAGE_ROWS = 500;
const DUPLICATE_VALUE = 137;
const CLASS_EXISTS_OR_MISSING = 103;
const CLOSED = Object.freeze({
  find: {}, get: {}, count: {}, create: {}, update: {}, delete: {}, addField: {}, protectedFields: {},
});
const MASTER = Object.freeze({ useMasterKey: true });

class CardStore {
  #Parse;
  #prepared = null;

  /** @param {object} Parse the server's own */
  constructor(Parse) {
    this.#Parse = Parse;
  }

  /** Create the class, closed to clients; once per process, and again after a failure. */
  async prepare() {
    this.#prepared ??= this.#createClass().catch((error) => {
      this.#prepared = null;
      throw error;
    });
    return this.#prepared;
  }

  async #createClass() {
    if (typeof this.#Parse.Server?.database?.create !== 'function') {
      throw new Error('encrypted_parse: this Parse Server has no Parse.Server.database; 5.6 or newer is needed');
    }
    const schema = new this.#Parse.Schema(CLASS_NAME)
      .addString('kind')
      .addString('identity')
      .addString('slot')
      .addString('cardId')
      .addString('previousCardId')
      .addString('contentSnapshot')
      .addString('signatures')
      .setCLP(CLOSED);
    try {
      await schema.save();
    } catch (error) {
      if (error.code !== CLASS_EXISTS_OR_MISSING) throw error;
      // It is there already, perhaps made by another process; closed it has to be all the same.
      await new this.#Parse.Schema(CLASS_NAME).setCLP(CLOSED).update();
    }
  }

  /**
   * @param {string} id
   * @returns {Promise<{card: import('./card.js').Card, outdated: boolean} | null>}
   */
  async get(id) {
    await this.prepare();
    const rows = await this.#rows((query) => query.equalTo('cardId', id).equalTo('kind', 'card'));
    if (rows.length === 0) return null;
    return { card: toCard(rows[0]), outdated: (await this.#taken([nextSlot(id)])).size > 0 };
  }

  /**
   * All cards of the chains that are not revoked, old ones included (section 3.3).
   *
   * @param {string[]} identities
   * @returns {Promise<import('./card.js').Card[]>}
   */
  async search(identities) {
    await this.prepare();
    const rows = await this.#rows((query) => query.containedIn('identity', identities));
    return chainsOf(rows).filter((chain) => !chain.revoked).flatMap((chain) => chain.cards);
  }

  /**
   * @param {string[]} ids
   * @returns {Promise<string[]>} those that have a successor or are revoked
   */
  async outdated(ids) {
    await this.prepare();
    const taken = await this.#taken(ids.map(nextSlot));
    return ids.filter((id) => taken.has(nextSlot(id)));
  }

  /**
   * Insert *card* as the next of its chain, or as the first of a new one.
   *
   * @param {import('./card.js').Card} card
   * @returns {Promise<{card: import('./card.js').Card, created: boolean}>} created is false if
   *   this very card is the identity's current one already
   */
  async publish(card) {
    await this.prepare();
    const rows = await this.#rows((query) => query.equalTo('identity', card.identity));
    const chains = chainsOf(rows);
    const head = chains.find((chain) => !chain.revoked)?.cards.at(-1);
    if (head?.id === card.id) return { card: head, created: false };
    // An old card that is sent again must not bring back a key that was replaced or revoked.
    if (rows.some((row) => row.get('cardId') === card.id)) throw new ServiceError('replayedCard');
    if (rows.length >= MAX_CARDS_PER_IDENTITY) throw new ServiceError('tooManyCards');
    let slot;
    if (card.previousCardId === null) {
      if (head !== undefined) throw new ServiceError('alreadyActive');
      slot = rootSlot(card.identity, chains.length);
    } else {
      if (head?.id !== card.previousCardId) throw new ServiceError('badPredecessor');
      slot = nextSlot(head.id);
    }
    const inserted = await this.#insert(slot, {
      kind: 'card',
      identity: card.identity,
      cardId: card.id,
      ...(card.previousCardId === null ? {} : { previousCardId: card.previousCardId }),
      contentSnapshot: card.contentSnapshot,
      signatures: JSON.stringify(card.signatures),
    });
    if (inserted) return { card, created: true };
    // Somebody was faster: perhaps our own client, repeating a request whose answer was lost.
    const winner = await this.get(card.id);
    if (winner !== null) return { card: winner.card, created: false };
    throw new ServiceError(card.previousCardId === null ? 'alreadyActive' : 'badPredecessor');
  }

  /**
   * End the chain whose current card is *card*: all its cards leave the search.
   *
   * @param {import('./card.js').Card} card
   */
  async revoke(card) {
    await this.prepare();
    const inserted = await this.#insert(nextSlot(card.id), { kind: 'revocation', identity: card.identity });
    if (!inserted) throw new ServiceError('notCurrent');
  }

  /** @returns {Promise<boolean>} false if the slot is taken */
  async #insert(slot, fields) {
    const now = new Date().toISOString(); // bare, as Parse Server's own writes pass it
    const row = { objectId: slotId(slot), slot, ...fields, createdAt: now, updatedAt: now, ACL: {} };
    try {
      await this.#Parse.Server.database.create(CLASS_NAME, row, {});
      return true;
    } catch (error) {
      if (error.code === DUPLICATE_VALUE) return false;
      throw error;
    }
  }

  async #taken(slots) {
    const rows = await this.#rows((query) => query.containedIn('objectId', slots.map(slotId)));
    return new Set(rows.map((row) => row.get('slot')));
  }

  async #rows(restrict) {
    const all = [];
    for (let last = ''; ; last = all.at(-1).id) {
      const query = new this.#Parse.Query(CLASS_NAME);
      restrict(query);
      if (last !== '') query.greaterThan('objectId', last);
      const page = await query.ascending('objectId').limit(PAGE_ROWS).find(MASTER);
      all.push(...page);
      if (page.length < PAGE_ROWS) return all;
    }
  }
}

const nextSlot = (cardId) => `next:${cardId}`;
const rootSlot = (identity, generation) => `root:${generation}:${identity}`;
/** Identities may hold any ASCII; an object id is better a fixed length of plain characters. */
const slotId = (slot) => createHash('sha256').update(slot).digest('hex');

function toCard(row) {
  return {
    id: row.get('cardId'),
    identity: row.get('identity'),
    previousCardId: row.get('previousCardId') ?? null,
    createdAt: 0,
    contentSnapshot: row.get('contentSnapshot'),
    signatures: JSON.parse(row.get('signatures')),
  };
}

/**
 * Sort rows into chains, oldest card first.
 *
 * @returns {{cards: import('./card.js').Card[], revoked: boolean}[]}
 */
function chainsOf(rows) {
  const bySlot = new Map(rows.map((row) => [row.get('slot'), row]));
  return rows
    .filter((row) => row.get('slot').startsWith('root:'))
    .map((root) => {
      const cards = [];
      let row = root;
      while (row !== undefined && row.get('kind') === 'card') {
        cards.push(toCard(row));
        row = bySlot.get(nextSlot(row.get('cardId')));
      }
      return { cards, revoked: row !== undefined };
    });
}

module.exports = { CLASS_NAME, CardStore, MAX_CARDS_PER_IDENTITY };
