'use strict';

const { createHash, createPublicKey, constants, sign, verify } = require('node:crypto');

/**
 * Virgil signatures: SEQUENCE { AlgorithmIdentifier sha512, OCTET STRING signature }, and for
 * Ed25519 the signed message is the 64-byte SHA-512 digest (services document, section 2).
 */
const ALGORITHM = Buffer.from('300d06096086480165030402030500', 'hex');
const ED25519_PREFIX = Buffer.concat([Buffer.from('3051', 'hex'), ALGORITHM, Buffer.from('0440', 'hex')]);
const ED25519_BYTES = ED25519_PREFIX.length + 64;
const MAX_SIGNATURE_BYTES = 2048; // RSA-8192 needs 1,045

/** SubjectPublicKeyInfo of Virgil's compound key Curve25519 + Ed25519 (section 3.1). */
const COMPOUND_OID = Buffer.from('060b2b0601040183ac1b010101', 'hex');
const COMPOUND_OID_SHORT = Buffer.from('060a2b0601040183ac1b0101', 'hex');
const ED25519_SPKI = Buffer.from('302a300506032b6570032100', 'hex');
const COMPOUND_SPKI_BYTES = 105;

const sha512 = (data) => createHash('sha512').update(data).digest();

/**
 * @param {Buffer} data
 * @param {import('node:crypto').KeyObject} privateKey Ed25519
 * @returns {Buffer} 83 bytes
 */
function signVirgil(data, privateKey) {
  return Buffer.concat([ED25519_PREFIX, sign(null, sha512(data), privateKey)]);
}

/**
 * @param {Buffer} data
 * @param {Buffer} signature the whole container
 * @param {import('node:crypto').KeyObject} publicKey Ed25519, P-256 or RSA
 * @returns {boolean}
 */
function verifyVirgil(data, signature, publicKey) {
  const raw = unwrap(signature);
  if (raw === null) return false;
  try {
    switch (publicKey.asymmetricKeyType) {
      case 'ed25519':
        return signature.length === ED25519_BYTES && verify(null, sha512(data), publicKey, raw);
      case 'ec':
        return verify('sha512', data, publicKey, raw);
      case 'rsa':
        return verify('sha512', data, {
          key: publicKey, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_AUTO,
        }, raw);
      default:
        return false;
    }
  } catch {
    return false; // a malformed signature inside a well-formed container
  }
}

/**
 * Read a card's public key.
 *
 * @param {Buffer} spki
 * @returns {import('node:crypto').KeyObject | null} null if it cannot verify signatures here
 */
function readVerifyingKey(spki) {
  let der = spki;
  if (spki.length === COMPOUND_SPKI_BYTES && (spki.includes(COMPOUND_OID) || spki.includes(COMPOUND_OID_SHORT))) {
    der = Buffer.concat([ED25519_SPKI, spki.subarray(-32)]);
  }
  let key;
  try {
    key = createPublicKey({ key: der, format: 'der', type: 'spki' });
  } catch {
    return null;
  }
  // One encoding per key: identifiers are hashes of the encoding (wire format, section 2.2).
  if (!key.export({ format: 'der', type: 'spki' }).equals(der)) return null;
  const usable = key.asymmetricKeyType === 'ed25519' || key.asymmetricKeyType === 'rsa' ||
    (key.asymmetricKeyType === 'ec' && key.asymmetricKeyDetails?.namedCurve === 'prime256v1');
  return usable ? key : null;
}

/** The raw signature of a container with minimal DER lengths and nothing behind it, or null. */
function unwrap(container) {
  if (container.length > MAX_SIGNATURE_BYTES) return null;
  const outer = readTlv(container, 0, 0x30);
  if (outer === null || outer.end !== container.length) return null;
  const content = container.subarray(outer.start, outer.end);
  if (!content.subarray(0, ALGORITHM.length).equals(ALGORITHM)) return null;
  const octets = readTlv(content, ALGORITHM.length, 0x04);
  if (octets === null || octets.end !== content.length) return null;
  return content.subarray(octets.start, octets.end);
}

function readTlv(bytes, at, tag) {
  if (bytes[at] !== tag || at + 2 > bytes.length) return null;
  let length = bytes[at + 1];
  let start = at + 2;
  if (length >= 0x80) {
    const octets = length - 0x80;
    if (octets < 1 || octets > 2 || start + octets > bytes.length) return null;
    length = bytes.readUIntBE(start, octets);
    if (length < 0x80 || (octets === 2 && length < 0x100)) return null;
    start += octets;
  }
  return start + length <= bytes.length ? { start, end: start + length } : null;
}

module.exports = { readVerifyingKey, sha512, signVirgil, verifyVirgil };
