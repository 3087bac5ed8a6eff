'use strict';

const { createHash } = require('node:crypto');
const { ClosedClass } = require('./closed-class.js');
const { chainsOf, endSlot, nextSlot, rootSlot, toCard, toFields } = require('./card-row.js');
const { ServiceError } = require('./errors.js');

/**
 * Cards in a Parse class that only the master key opens.
 *
 * The class is append-only, and what a row *follows* is its object id: a first card takes the
 * slot `root:IDENTITY:N` (N = how many chains of the identity ended before), a successor takes
 * `next:CARD`, and a revocation takes `next:CARD` of the chain's current card too. Object ids are
 * primary keys in every database behind Parse Server, so of two racing registrations, successors
 * or revocations exactly one is inserted, in one process or in many, and a crash leaves a row or
 * none. Whether a card is current, superseded or revoked is read from which slots are taken. The
 * slot `end:IDENTITY` says that the identity's user was deleted: then none of its cards counts.
 */
const CLASS_NAME = 'VirgilCard';
const IDENTITIES_AT_ONCE = 50;
const MAX_CARDS_PER_IDENTITY = 200; // of 16 KiB at most: always less than one answer holds
const ROW_BYTES = 64; // more than the names of a raw card's members
const MAX_ANSWER_BYTES = 4 * 1024 * 1024; // what clients read, and what one search may take in memory

class CardStore {
  #serviceKey;

  /**
   * @param {object} Parse the server's own
   * @param {import('./settings.js').Settings} settings
   */
  constructor(Parse, settings) {
    this.#serviceKey = settings.servicePublicKey;
    this.rows = new ClosedClass(Parse, settings.rowKey, {
      name: CLASS_NAME,
      columns: {
        kind: 'String', identity: 'String', slot: 'String', cardId: 'String', previousCardId: 'String',
        keyId: 'String', longKeyId: 'String', contentSnapshot: 'String', signatures: 'String',
      },
      indexed: ['identity', 'cardId', 'keyId', 'longKeyId'],
      named: ['slot'],
      idOf: (row) => slotId(String(row.get('slot'))),
    });
  }

  /**
   * @param {string} id
   * @returns {Promise<{card: import('./card.js').Card, outdated: boolean} | null>}
   */
  async get(id) {
    const rows = await this.rows.rows((query) => query.equalTo('cardId', id).equalTo('kind', 'card'));
    const card = rows.map((row) => toCard(row, this.#serviceKey)).find((one) => one !== null);
    if (card === undefined) return null;
    return { card, outdated: (await this.#taken([nextSlot(id), endSlot(card.identity)])).size > 0 };
  }

  /**
   * All cards of the chains that are not revoked, old ones included (section 3.3).
   *
   * @param {string[]} identities
   * @returns {Promise<import('./card.js').Card[]>}
   * @throws {ServiceError} answerTooLarge: they have more than one answer holds; never for a single one
   */
  async search(identities) {
    const rows = await this.rows.rows((query) => query.containedIn('identity', identities), undefined, checkSize);
    return chainsOf(rows, this.#serviceKey).filter((chain) => !chain.revoked).flatMap((chain) => chain.cards);
  }

  /**
   * Of identities whose user was deleted the chain that was served last: for verifying what they
   * signed, and nothing else. Chains that were revoked before it stay out, as for everybody.
   *
   * @param {string[]} identities
   * @returns {Promise<{identities: string[], cards: import('./card.js').Card[]}>} those that ended, also
   *   if their cards were erased
   * @throws {ServiceError} answerTooLarge: as `search`
   */
  async searchEnded(identities) {
    const taken = await this.#taken(identities.map(endSlot));
    const ended = identities.filter((identity) => taken.has(endSlot(identity)));
    if (ended.length === 0) return { identities: [], cards: [] };
    const rows = await this.rows.rows((query) => query.containedIn('identity', ended), undefined, checkSize);
    const last = new Map();
    for (const { cards, generation } of chainsOf(rows, this.#serviceKey)) {
      if (cards.length > 0 && !(last.get(cards[0].identity)?.generation > generation)) {
        last.set(cards[0].identity, { cards, generation });
      }
    }
    return { identities: ended, cards: [...last.values()].flatMap(({ cards }) => cards) };
  }

  /**
   * `search` for any number of identities, a part after the other: no more is in memory at once
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
    if (rows.some((row) => row.get('kind') === 'end')) throw new ServiceError('endedIdentity');
    const chains = chainsOf(rows, this.#serviceKey);
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
    const inserted = await this.#insert(slot, toFields(card));
    if (inserted) {
      if (!(await this.hasEnded(card.identity))) return { card, created: true };
      // The user was deleted meanwhile. The card counts nowhere; let it not look current either.
      await this.#revokeAll(card.identity);
      throw new ServiceError('endedIdentity');
    }
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
   * End an identity for ever, since its Parse user was deleted: its cards leave the search, and no other
   * is published for it.
   *
   * @param {string} identity
   */
  async end(identity) {
    await this.#insert(endSlot(identity), { kind: 'end', identity });
    await this.#revokeAll(identity);
  }

  /**
   * Delete the cards of an identity that has ended; that it has, stays.
   *
   * @param {string} identity
   * @returns {Promise<number | null>} how many rows; null if the identity has not ended
   */
  async erase(identity) {
    if (!(await this.hasEnded(identity))) return null;
    let erased = 0;
    for (const row of await this.#ofIdentity(identity)) {
      if (row.get('slot') !== endSlot(identity) && (await this.rows.remove(row.id))) erased += 1;
    }
    return erased;
  }

  /** @param {string} identity @returns {Promise<boolean>} */
  async hasEnded(identity) {
    return (await this.#taken([endSlot(identity)])).size > 0;
  }

  /**
   * Which users' cards, current or not, have one of these key identifiers (hexadecimal).
   *
   * @param {string[]} keyIds
   * @returns {Promise<{keyId: string, identity: string}[]>}
   */
  async findKeys(keyIds) {
    return (await this.#cardsOf(keyIds)).map(({ keyId, card }) => ({ keyId, identity: card.identity }));
  }

  /**
   * Those of these key identifiers (hexadecimal) that a user's cards have, and no current one.
   *
   * @param {string[]} keyIds
   * @returns {Promise<{keyId: string, identity: string}[]>}
   */
  async replacedKeys(keyIds) {
    const found = await this.#cardsOf(keyIds);
    if (found.length === 0) return [];
    const taken = await this.#taken(found.flatMap(({ card }) => [nextSlot(card.id), endSlot(card.identity)]));
    const isCurrent = ({ card }) => !taken.has(nextSlot(card.id)) && !taken.has(endSlot(card.identity));
    const current = new Set(found.filter(isCurrent).map(({ keyId }) => keyId));
    return found
      .filter(({ keyId }) => !current.has(keyId))
      .map(({ keyId, card }) => ({ keyId, identity: card.identity }));
  }

  async #cardsOf(keyIds) {
    const found = [];
    for (const column of ['keyId', 'longKeyId']) {
      const rows = await this.rows.rows((query) => query.containedIn(column, keyIds));
      for (const row of rows) {
        const card = toCard(row, this.#serviceKey);
        if (card !== null) found.push({ keyId: row.get(column), card });
      }
    }
    return found;
  }

  /** @returns {Promise<boolean>} false if the slot is taken */
  #insert(slot, fields) {
    return this.rows.insert(slotId(slot), { slot, ...fields });
  }

  async #revokeAll(identity) {
    for (const { cards } of chainsOf(await this.#ofIdentity(identity), this.#serviceKey)) {
      // Taken already, if it was revoked before: then this changes nothing.
      if (cards.length > 0) await this.#insert(nextSlot(cards.at(-1).id), { kind: 'revocation', identity });
    }
  }

  #ofIdentity(identity) {
    return this.rows.rows((query) => query.equalTo('identity', identity));
  }

  async #taken(slots) {
    const rows = await this.rows.rows((query) => query.containedIn('objectId', slots.map(slotId)));
    return new Set(rows.map((row) => row.get('slot')));
  }
}

/** Identities may hold any ASCII; an object id is better a fixed length of plain characters. */
const slotId = (slot) => createHash('sha256').update(slot).digest('hex');

/** Refuse rows of cards, revoked ones too, before they are more than one answer holds. */
function checkSize(rows) {
  const sizes = rows.map((row) => (row.get('contentSnapshot') ?? '').length + (row.get('signatures') ?? '').length + ROW_BYTES);
  if (sizes.reduce((sum, size) => sum + size, 0) > MAX_ANSWER_BYTES) throw new ServiceError('answerTooLarge');
}

module.exports = { CLASS_NAME, CardStore, MAX_CARDS_PER_IDENTITY };
