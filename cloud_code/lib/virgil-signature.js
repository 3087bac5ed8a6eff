'use strict';

const { createHash, createPublicKey, sign, verify } = require('node:crypto');

/**
 * Virgil signatures: SEQUENCE { AlgorithmIdentifier sha512, OCTET STRING signature }, over the
 * 64-byte SHA-512 digest of the message (services document, section 2). Ed25519 only: what a card
 * or a token carries besides is of no use to the Python client (ADR 17).
 */
const PREFIX = Buffer.from('3051300d060960864801650304020305000440', 'hex');
const SIGNATURE_BYTES = PREFIX.length + 64;

/** What the DER of every Ed25519 SubjectPublicKeyInfo begins with; 32 bytes of a point follow. */
const ED25519_SPKI = Buffer.from('302a300506032b6570032100', 'hex');
const POINT_BYTES = 32;
const P = 2n ** 255n - 19n;
const ORDER_8_Y = 0x7a03ac9277fdc74ec6cc392cfa53202a0f67100d760b3cba4fd84d3d706a17c7n;
const SMALL_ORDER_Y = new Set([0n, 1n, P - 1n, ORDER_8_Y, P - ORDER_8_Y]);

const sha512 = (data) => createHash('sha512').update(data).digest();

/**
 * @param {Buffer} data
 * @param {import('node:crypto').KeyObject} privateKey Ed25519
 * @returns {Buffer} 83 bytes
 */
function signVirgil(data, privateKey) {
  return Buffer.concat([PREFIX, sign(null, sha512(data), privateKey)]);
}

/**
 * @param {Buffer} data
 * @param {Buffer} signature the whole container
 * @param {import('node:crypto').KeyObject} publicKey Ed25519
 * @returns {boolean}
 */
function verifyVirgil(data, signature, publicKey) {
  if (signature.length !== SIGNATURE_BYTES || !signature.subarray(0, PREFIX.length).equals(PREFIX)) return false;
  try {
    return verify(null, sha512(data), publicKey, signature.subarray(PREFIX.length));
  } catch {
    return false; // a key that is no point of the curve
  }
}

/**
 * Read a card's public key.
 *
 * @param {Buffer} spki
 * @returns {import('node:crypto').KeyObject | null} null if it is no Ed25519 key, not in its one
 *   encoding, or a point that everybody can sign for
 */
function readVerifyingKey(spki) {
  const prefix = spki.subarray(0, ED25519_SPKI.length);
  if (spki.length !== ED25519_SPKI.length + POINT_BYTES || !prefix.equals(ED25519_SPKI)) return null;
  const littleEndian = Buffer.from(spki.subarray(ED25519_SPKI.length)).reverse();
  const y = BigInt(`0x${littleEndian.toString('hex')}`) & (2n ** 255n - 1n);
  if (y >= P || SMALL_ORDER_Y.has(y)) return null;
  try {
    return createPublicKey({ key: spki, format: 'der', type: 'spki' });
  } catch {
    return null;
  }
}

module.exports = { ED25519_SPKI, readVerifyingKey, sha512, signVirgil, verifyVirgil };
