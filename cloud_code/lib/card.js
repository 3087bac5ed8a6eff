'use strict';

const { createHash } = require('node:crypto');
const { ServiceError } = require('./errors.js');
const { decodeBase64, isObject } = require('./encoding.js');
const { isIdentity } = require('./jwt.js');
const { parseSnapshot } = require('./snapshot.js');
const { ED25519_SPKI, readVerifyingKey, sha512, signVirgil, verifyVirgil } = require('./virgil-signature.js');

/**
 * Bounds on what a client sends. They are those of the Python client, which could not use what is
 * accepted beyond them (ADR 17).
 */
const MAX_CARD_BYTES = 16 * 1024; // as it is served: compact JSON, the service's signature included
const MAX_SIGNATURES = 8; // beside the service's
const SIGNER = /^[\x20-\x7e]{1,64}$/;
const MAX_CREATED_AT = 253402300799; // the last second of the year 9999
const CREATED_AT_TOLERANCE_SECONDS = 24 * 60 * 60;
const CARD_ID = /^[0-9a-f]{64}$/;

/**
 * @typedef {object} Card
 * @property {string} id
 * @property {string} identity
 * @property {string | null} previousCardId
 * @property {number} createdAt seconds
 * @property {string} contentSnapshot base64, exactly as received
 * @property {{signer: string, signature: string, snapshot?: string}[]} signatures as received
 */

/**
 * Parse a raw card strictly and verify its self signature (section 3.1).
 *
 * @param {unknown} raw
 * @returns {Card}
 * @throws {ServiceError} malformedCard, unsupportedKey or badSelfSignature
 */
function parseCard(raw) {
  const snapshot = isObject(raw) ? decodeBase64(raw.content_snapshot) : null;
  if (snapshot === null) throw new ServiceError('malformedCard');
  const signatures = parseSignatures(raw.signatures);
  if (sizeOf({ contentSnapshot: raw.content_snapshot, signatures }) > MAX_CARD_BYTES) throw new ServiceError('malformedCard');
  const content = parseSnapshot(snapshot);
  if (content === null || !isContent(content)) throw new ServiceError('malformedCard');
  const key = parseKey(content.public_key);
  const self = signatures.find(({ signer }) => signer === 'self');
  if (!self) throw new ServiceError('badSelfSignature');
  const extra = self.snapshot === undefined ? Buffer.alloc(0) : Buffer.from(self.snapshot, 'base64');
  const signed = Buffer.concat([snapshot, extra]);
  if (!verifyVirgil(signed, Buffer.from(self.signature, 'base64'), key)) throw new ServiceError('badSelfSignature');
  return {
    id: cardIdOf(snapshot),
    identity: content.identity,
    previousCardId: content.previous_card_id ?? null,
    createdAt: content.created_at,
    contentSnapshot: raw.content_snapshot,
    signatures,
  };
}

/**
 * Only keys that every client can use: the others would cost their user's values, and look like
 * a fault of the readers'.
 */
function parseKey(text) {
  const der = decodeBase64(text);
  if (der === null) throw new ServiceError('malformedCard');
  if (!der.subarray(0, ED25519_SPKI.length).equals(ED25519_SPKI)) throw new ServiceError('unsupportedKey');
  const key = readVerifyingKey(der);
  if (key === null) throw new ServiceError('malformedCard');
  return key;
}

/** @param {Buffer} snapshot */
const cardIdOf = (snapshot) => sha512(snapshot).subarray(0, 32).toString('hex');

function isContent(content) {
  return (
    isIdentity(content.identity) &&
    (content.previous_card_id === undefined || isCardId(content.previous_card_id)) &&
    Number.isSafeInteger(content.created_at) &&
    content.created_at >= 0 &&
    content.created_at <= MAX_CREATED_AT &&
    content.version === '5.0' &&
    typeof content.public_key === 'string'
  );
}

/** @param {unknown} value */
const isCardId = (value) => typeof value === 'string' && CARD_ID.test(value);

function parseSignatures(list) {
  if (!Array.isArray(list) || list.length > MAX_SIGNATURES) {
    throw new ServiceError('malformedCard');
  }
  const seen = new Set();
  return list.map((item) => {
    const { signer, signature, snapshot } = isObject(item) ? item : {};
    const wellFormed =
      typeof signer === 'string' && SIGNER.test(signer) &&
      !seen.has(signer) &&
      decodeBase64(signature) !== null &&
      (snapshot === undefined || snapshot === null || decodeBase64(snapshot) !== null);
    // The service's own signature is added here and nowhere else.
    if (!wellFormed || signer === 'virgil') throw new ServiceError('malformedCard');
    seen.add(signer);
    return snapshot == null ? { signer, signature } : { signer, signature, snapshot };
  });
}

/**
 * Check that *card* may be published by *identity* now.
 *
 * @param {Card} card
 * @param {string} identity the token's
 * @param {number} nowSeconds
 */
function checkPublisher(card, identity, nowSeconds) {
  if (card.identity !== identity) throw new ServiceError('identityMismatch');
  if (Math.abs(card.createdAt - nowSeconds) > CREATED_AT_TOLERANCE_SECONDS) {
    throw new ServiceError('badCreationTime');
  }
}

/**
 * The card with the service's signature over the snapshot alone, which own clients pin.
 *
 * @param {Card} card
 * @param {import('node:crypto').KeyObject} serviceKey
 * @returns {Card}
 * @throws {ServiceError} malformedCard: it would be too large
 */
function countersign(card, serviceKey) {
  const signature = signVirgil(Buffer.from(card.contentSnapshot, 'base64'), serviceKey);
  const signed = { ...card, signatures: [...card.signatures, { signer: 'virgil', signature: signature.toString('base64') }] };
  if (sizeOf(signed) > MAX_CARD_BYTES) throw new ServiceError('malformedCard');
  return signed;
}

/** How long a card is as it is served. Its strings are ASCII, so characters are bytes. */
const sizeOf = (card) => JSON.stringify(toRaw(card)).length;

/**
 * The identifiers that envelopes name a card's key by (wire format, section 2.2), in hexadecimal.
 *
 * @param {Card} card
 */
function keyIdsOf(card) {
  const content = parseSnapshot(Buffer.from(card.contentSnapshot, 'base64'));
  const key = Buffer.from(content.public_key, 'base64');
  return {
    keyId: sha512(key).subarray(0, 8).toString('hex'),
    longKeyId: createHash('sha256').update(key).digest('hex'),
  };
}

/** @param {Card} card */
const toRaw = (card) => ({ content_snapshot: card.contentSnapshot, signatures: card.signatures });

module.exports = { cardIdOf, checkPublisher, countersign, isCardId, keyIdsOf, parseCard, toRaw };
