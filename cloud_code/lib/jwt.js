'use strict';

const { timingSafeEqual } = require('node:crypto');
const { ServiceError } = require('./errors.js');
const { decodeBase64, parseJsonObject } = require('./encoding.js');
const { signVirgil, verifyVirgil } = require('./virgil-signature.js');

/** Services document, section 2. */
const HEADER = Object.freeze({ alg: 'VEDS512', typ: 'JWT', cty: 'virgil-jwt;v=1' });
const LIFETIME_SECONDS = 20 * 60; // what Virgil's own generator gives
const EXPIRY_LEEWAY_SECONDS = 30; // a slow client clock would hold a refused token for fresh
const ISSUED_AHEAD_SECONDS = 5 * 60;
const MAX_TOKEN_CHARACTERS = 4096;
const ISSUER_PREFIX = 'virgil-';
const SUBJECT_PREFIX = 'identity-';
const MAX_IDENTITY_CHARACTERS = 255;

/** Identities are printable ASCII: Virgil's JavaScript reads base64 as Latin-1. */
const isIdentity = (value) =>
  typeof value === 'string' && value.length <= MAX_IDENTITY_CHARACTERS && /^[\x20-\x7e]+$/.test(value);

const encode = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');

/**
 * Issue a token, byte-equal to what Virgil's generator writes.
 *
 * @param {import('./settings.js').Settings} settings
 * @param {string} identity
 * @param {number} nowSeconds
 * @returns {string}
 */
function issueToken(settings, identity, nowSeconds) {
  if (!isIdentity(identity)) throw new TypeError('an identity is printable ASCII');
  const header = { alg: HEADER.alg, kid: settings.apiKeyId, typ: HEADER.typ, cty: HEADER.cty };
  const payload = {
    iss: ISSUER_PREFIX + settings.appId,
    sub: SUBJECT_PREFIX + identity,
    iat: nowSeconds,
    exp: nowSeconds + LIFETIME_SECONDS,
  };
  const text = `${encode(header)}.${encode(payload)}`;
  return `${text}.${signVirgil(Buffer.from(text), settings.apiKey).toString('base64url')}`;
}

/**
 * Verify a token in the order of section 2 and return its identity.
 *
 * @param {import('./settings.js').Settings} settings
 * @param {string} token
 * @param {number} nowSeconds
 * @returns {string}
 * @throws {ServiceError} invalidToken or expiredToken
 */
function verifyToken(settings, token, nowSeconds) {
  const parts = token.length <= MAX_TOKEN_CHARACTERS ? token.split('.') : [];
  const [headerBytes, payloadBytes, signature] = parts.map((part) => decodeBase64(part, 'base64url'));
  if (parts.length !== 3 || !headerBytes || !payloadBytes || !signature) throw new ServiceError('invalidToken');
  const header = parseJsonObject(headerBytes);
  const payload = parseJsonObject(payloadBytes);
  if (header === null || payload === null) throw new ServiceError('invalidToken');
  for (const [name, value] of Object.entries(HEADER)) {
    if (header[name] !== value) throw new ServiceError('invalidToken');
  }
  const text = Buffer.from(`${parts[0]}.${parts[1]}`);
  const subject = payload.sub;
  const valid =
    sameText(header.kid, settings.apiKeyId) &&
    verifyVirgil(text, signature, settings.apiPublicKey) &&
    payload.iss === ISSUER_PREFIX + settings.appId &&
    typeof subject === 'string' &&
    subject.startsWith(SUBJECT_PREFIX) &&
    isIdentity(subject.slice(SUBJECT_PREFIX.length)) &&
    Number.isSafeInteger(payload.iat) &&
    Number.isSafeInteger(payload.exp) &&
    payload.iat <= nowSeconds + ISSUED_AHEAD_SECONDS;
  if (!valid) throw new ServiceError('invalidToken');
  if (payload.exp + EXPIRY_LEEWAY_SECONDS < nowSeconds) throw new ServiceError('expiredToken');
  return subject.slice(SUBJECT_PREFIX.length);
}

function sameText(left, right) {
  if (typeof left !== 'string') return false;
  const [a, b] = [Buffer.from(left), Buffer.from(right)];
  return a.length === b.length && timingSafeEqual(a, b);
}

module.exports = { issueToken, isIdentity, verifyToken };
