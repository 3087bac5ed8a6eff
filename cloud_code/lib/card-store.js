'use strict';

const { createHash } = require('node:crypto');
const { ClosedClass } = require('./closed-class.js');
const { keyIdsOf } = require('./card.js');
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
 */
const CLASS_NAME = 'VirgilCard';
const IDENTITIES_AT_ONCE = 50;
const MAX_CARDS_PER_IDENTITY = 200; // of 16 KiB at most: always less than one answer holds
const ROW_BYTES = 64; // more than the names of a raw card's members
const MAX_ANSWER_BYTES = 4 * 1024 * 1024; // what clients read, and what one search may take in memory

class CardStore {
  #rows;

  /** @param {object} Parse the server's own */
  constructor(Parse) {
    this.#rows = new ClosedClass(Parse, CLASS_NAME, {
      kind: 'String', identity: 'String', slot: 'String', cardId: 'String', previousCardId: 'String',
      keyId: 'String', longKeyId: 'String', contentSnapshot: 'String', signatures: 'String',
    }, ['identity', 'cardId', 'keyId', 'longKeyId']);
  }

  /** Create the class, closed to clients. */
  prepare() {
    return this.#rows.prepare();
  }

  /**
   * @param {string} id
   * @returns {Promise<{card: import('./card.js').Card, outdated: boolean} | null>}
   */
  async get(id) {
    const rows = await this.#rows.rows((query) => query.equalTo('cardId', id).equalTo('kind', 'card'));
    if (rows.length === 0) return null;
    return { card: toCard(rows[0]), outdated: (await this.#taken([nextSlot(id)])).size > 0 };
  }

  /**
   * All cards of the chains that are not revoked, old ones included (section 3.3).
   *
   * @param {string[]} identities
   * @returns {Promise<import('./card.js').Card[]>}
   * @throws {ServiceError} answerTooLarge: they have more than one answer holds; never for a single one
   */
  async search(identities) {
    const rows = await this.#rows.rows((query) => query.containedIn('identity', identities), undefined, checkSize);
    return chainsOf(rows).filter((chain) => !chain.revoked).flatMap((chain) => chain.cards);
  }

  /**
   * The same for any number of identities, a part after the other: no more is in memory at once
   * than a search may take.
   *
   * @param {string[]} identities
   * @returns {AsyncGenerator<import('./card.js').Card>}
   */
  async *searchAll(identities) {
    for (let start = 0; start < identities.length; start += IDENTITIES_AT_ONCE) {
      yield* this.#searchInParts(identities.slice(start, start + IDENTITIES_AT_ONCE));
    }
  }

  async *#searchInParts(identities) {
    let cards;
    try {
      cards = await this.search(identities);
    } catch (error) {
      if (error.name !== 'ServiceError' || identities.length === 1) throw error;
      const half = Math.ceil(identities.length / 2);
      yield* this.#searchInParts(identities.slice(0, half));
      yield* this.#searchInParts(identities.slice(half));
      return;
    }
    yield* cards;
  }

  /**
   * @param {string[]} ids
   * @returns {Promise<string[]>} those that have a successor or are revoked
   */
  async outdated(ids) {
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
    const rows = await this.#ofIdentity(card.identity);
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
      ...keyIdsOf(card),
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
    const inserted = await this.#insert(nextSlot(card.id), { kind: 'revocation', identity: card.identity });
    if (!inserted) throw new ServiceError('notCurrent');
  }

  /**
   * Revoke the identity's current chain, if there is one: its Parse user was deleted.
   *
   * @param {string} identity
   */
  async revokeAll(identity) {
    for (const chain of chainsOf(await this.#ofIdentity(identity))) {
      if (!chain.revoked) await this.#insert(nextSlot(chain.cards.at(-1).id), { kind: 'revocation', identity });
    }
  }

  /**
   * Which users' cards, current or not, have one of these key identifiers (hexadecimal).
   *
   * @param {string[]} keyIds
   * @returns {Promise<{keyId: string, identity: string}[]>}
   */
  async findKeys(keyIds) {
    const found = [];
    for (const column of ['keyId', 'longKeyId']) {
      const rows = await this.#rows.rows((query) => query.containedIn(column, keyIds), [column, 'identity']);
      found.push(...rows.map((row) => ({ keyId: row.get(column), identity: row.get('identity') })));
    }
    return found;
  }

  /** @returns {Promise<boolean>} false if the slot is taken */
  #insert(slot, fields) {
    return this.#rows.insert(slotId(slot), { slot, ...fields });
  }

  #ofIdentity(identity) {
    return this.#rows.rows((query) => query.equalTo('identity', identity));
  }

  async #taken(slots) {
    const rows = await this.#rows.rows((query) => query.containedIn('objectId', slots.map(slotId)));
    return new Set(rows.map((row) => row.get('slot')));
  }
}

const nextSlot = (cardId) => `next:${cardId}`;
const rootSlot = (identity, generation) => `root:${generation}:${identity}`;
/** Identities may hold any ASCII; an object id is better a fixed length of plain characters. */
const slotId = (slot) => createHash('sha256').update(slot).digest('hex');

/** Refuse rows of cards, revoked ones too, before they are more than one answer holds. */
function checkSize(rows) {
  const sizes = rows.map((row) => (row.get('contentSnapshot') ?? '').length + (row.get('signatures') ?? '').length + ROW_BYTES);
  if (sizes.reduce((sum, size) => sum + size, 0) > MAX_ANSWER_BYTES) throw new ServiceError('answerTooLarge');
}

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
