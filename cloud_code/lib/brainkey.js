'use strict';

const { hkdfSync } = require('node:crypto');
const { ServiceError } = require('./errors.js');
const { decodeBase64 } = require('./encoding.js');

/**
 * BrainKey: turns a password that the client has blinded into one half of a key pair, without
 * seeing the password (services document, section 5.1).
 *
 * The client sends x = rP for its password's point P; the service answers e(x, Q)^k with a point Q
 * of G2 that belongs to the user and its own secret k. Whoever steals the database cannot guess
 * passwords against backups without k, and whoever has neither has to ask here, one try at a time.
 *
 * The curve arithmetic is that of `@noble/curves`, which is loaded only if the service has a secret.
 */
const POINT_BYTES = 49;
const FIELD_BYTES = 48;
const DOMAIN = 'encrypted_parse BrainKey G2';
const MIN_MILLISECONDS_BETWEEN_CALLS = 1950; // clients wait 2000 and try once more
const MAX_BRAINKEY_ID_CHARACTERS = 256;

/**
 * @param {import('./settings.js').Settings} settings
 * @param {import('./throttle-store.js').ThrottleStore} store
 * @param {{bls12_381?: object, nowMilliseconds?: () => number}} [options] *bls12_381*: that of
 *   `@noble/curves`, where this folder cannot `require` it
 */
function brainKeyRoutes(settings, store, { bls12_381: given, nowMilliseconds = Date.now } = {}) {
  const transform = settings.brainKeySecret === null ? null : createTransform(given ?? loadCurve(), settings);
  return [{ method: 'POST', path: /^\/pythia\/v1\/brainkey$/, handle, writes: true }];

  async function handle({ identity, body }) {
    if (transform === null) throw new ServiceError('brainKeyOff');
    const encoded = decodeBase64(body.blinded_password);
    const keyName = body.brainkey_id ?? '';
    if (encoded === null || typeof keyName !== 'string' || keyName.length > MAX_BRAINKEY_ID_CHARACTERS) {
      throw new ServiceError('malformedPoint');
    }
    const passes = await store.pass(identity, nowMilliseconds(), MIN_MILLISECONDS_BETWEEN_CALLS);
    if (!passes) throw new ServiceError('throttled');
    return { body: { seed: transform(encoded, identity, keyName).toString('base64') } };
  }
}

function loadCurve() {
  try {
    return require('@noble/curves/bls12-381').bls12_381;
  } catch {
    throw new Error('encrypted_parse: VIRGIL_BRAINKEY_SECRET is set; add "@noble/curves": "1.9.7" to package.json');
  }
}

/** @returns {(encoded: Buffer, identity: string, keyName: string) => Buffer} 384 bytes */
function createTransform(curve, settings) {
  const { Fp, Fr } = curve.fields;
  const G1 = curve.G1.Point ?? curve.G1.ProjectivePoint;
  const order = Fr.ORDER;
  const k = deriveScalar(settings, order);
  const montgomery = 1n << 384n;

  return (encoded, identity, keyName) => {
    const x = readPoint(encoded).multiply(k);
    const tweak = Buffer.from(JSON.stringify([settings.appId, identity, keyName]));
    const Q = curve.G2.hashToCurve(tweak, { DST: DOMAIN });
    return pack(curve.pairing(x, Q));
  };

  /** A point of the group of prime order; anything else would leak k modulo small factors. */
  function readPoint(encoded) {
    if (encoded.length !== POINT_BYTES || (encoded[0] !== 2 && encoded[0] !== 3)) throw new ServiceError('malformedPoint');
    const x = BigInt(`0x${encoded.subarray(1).toString('hex')}`);
    if (x >= Fp.ORDER) throw new ServiceError('malformedPoint');
    const square = Fp.add(Fp.mul(Fp.mul(x, x), x), 4n);
    let y;
    try {
      y = Fp.sqrt(square);
    } catch {
      throw new ServiceError('malformedPoint');
    }
    // The tag is the lowest bit of y in Montgomery form, as the clients' library keeps it.
    if (((y * montgomery) % Fp.ORDER) % 2n !== BigInt(encoded[0] - 2)) y = Fp.neg(y);
    const point = G1.fromAffine({ x, y });
    if (point.is0() || !point.isTorsionFree()) throw new ServiceError('malformedPoint');
    return point;
  }

  /** The four coefficients that clients rebuild the others from, at w², w⁴, w and w⁵. */
  function pack(element) {
    const { c0, c1 } = element;
    const coefficients = [c0.c1, c0.c2, c1.c0, c1.c2];
    return Buffer.concat(coefficients.flatMap(({ c0: real, c1: imaginary }) => [toBytes(real), toBytes(imaginary)]));
  }

  function toBytes(value) {
    return Buffer.from(value.toString(16).padStart(2 * FIELD_BYTES, '0'), 'hex');
  }
}

/** The secret k, of this application alone; 64 bytes, so that the remainder favours no value. */
function deriveScalar(settings, order) {
  const okm = hkdfSync('sha512', settings.brainKeySecret, '', `encrypted_parse BrainKey k ${settings.appId}`, 64);
  return (BigInt(`0x${Buffer.from(okm).toString('hex')}`) % (order - 1n)) + 1n;
}

module.exports = { brainKeyRoutes };
