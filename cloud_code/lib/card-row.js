'use strict';

const { decodeBase64, parseJsonObject } = require('./encoding.js');
const { cardIdOf, keyIdsOf } = require('./card.js');
const { verifyVirgil } = require('./virgil-signature.js');

/**
 * Cards as rows, and back. A row is a card only if everything in it follows from the snapshot, and
 * the service signed that: then it is what `publish` accepted once, in the place that it took.
 */

/** The slot that follows a card: its successor's or its revocation's. */
const nextSlot = (cardId) => `next:${cardId}`;
const rootSlot = (identity, generation) => `root:${generation}:${identity}`;
/** Taken when the identity's user was deleted. */
const endSlot = (identity) => `end:${identity}`;

/** @param {import('./card.js').Card} card countersigned */
function toFields(card) {
  return {
    kind: 'card',
    identity: card.identity,
    cardId: card.id,
    ...(card.previousCardId === null ? {} : { previousCardId: card.previousCardId }),
    ...keyIdsOf(card),
    contentSnapshot: card.contentSnapshot,
    signatures: JSON.stringify(card.signatures),
  };
}

/**
 * @param {object} row
 * @param {import('node:crypto').KeyObject} serviceKey public
 * @returns {import('./card.js').Card | null}
 */
function toCard(row, serviceKey) {
  const snapshot = decodeBase64(row.get('contentSnapshot'));
  const signatures = parseSignatures(row.get('signatures'));
  const content = snapshot === null ? null : parseJsonObject(snapshot);
  if (content === null || signatures === null) return null;
  const card = {
    id: cardIdOf(snapshot),
    identity: content.identity,
    previousCardId: content.previous_card_id ?? null,
    createdAt: content.created_at,
    contentSnapshot: row.get('contentSnapshot'),
    signatures,
  };
  const signature = signatures.find((one) => one?.signer === 'virgil');
  const container = decodeBase64(signature?.signature);
  if (container === null || signature.snapshot !== undefined || !verifyVirgil(snapshot, container, serviceKey)) return null;
  const fields = Object.entries(toFields(card));
  return fields.every(([column, value]) => row.get(column) === value) && isPlaceOf(row.get('slot'), card) ? card : null;
}

function parseSignatures(text) {
  try {
    const list = JSON.parse(text);
    return Array.isArray(list) ? list : null;
  } catch {
    return null;
  }
}

function isPlaceOf(slot, { identity, previousCardId }) {
  if (previousCardId !== null) return slot === nextSlot(previousCardId);
  const generation = /^root:(0|[1-9][0-9]*):/.exec(slot)?.[1];
  return generation !== undefined && slot === rootSlot(identity, generation);
}

/**
 * Sort rows into chains, oldest card first.
 *
 * @param {object[]} rows of one identity or of several
 * @param {import('node:crypto').KeyObject} serviceKey public
 * @returns {{cards: import('./card.js').Card[], generation: number, revoked: boolean}[]} generation: how
 *   many chains of the identity began before; revoked: or its user was deleted
 */
function chainsOf(rows, serviceKey) {
  const bySlot = new Map(rows.map((row) => [row.get('slot'), row]));
  const chains = [];
  for (const root of rows.filter((row) => row.get('slot').startsWith('root:'))) {
    const cards = [];
    let row = root;
    for (let card; (card = row?.get('kind') === 'card' ? toCard(row, serviceKey) : null) !== null;) {
      cards.push(card);
      row = bySlot.get(nextSlot(card.id));
    }
    // A row that is no card ends the chain as a revocation does: what came before is not current.
    const ended = cards.length > 0 && bySlot.has(endSlot(cards[0].identity));
    chains.push({ cards, generation: Number(root.get('slot').split(':', 2)[1]), revoked: row !== undefined || ended });
  }
  return chains;
}

module.exports = { chainsOf, endSlot, nextSlot, rootSlot, toCard, toFields };
