'use strict';

const assert = require('node:assert/strict');
const { createPublicKey } = require('node:crypto');
const { readFileSync } = require('node:fs');
const path = require('node:path');
const test = require('node:test');

const { parseCard } = require('../lib/card.js');
const { issueToken, verifyToken } = require('../lib/jwt.js');
const { loadSettings } = require('../lib/settings.js');

const vectors = JSON.parse(readFileSync(path.join(__dirname, '../../tests/vectors/virgil-services.json'), 'utf8'));

function settings(appKey = vectors.jwt.api_private_key) {
  return loadSettings({
    VIRGIL_APP_ID: vectors.jwt.app_id,
    VIRGIL_APP_KEY_ID: vectors.jwt.api_key_id,
    VIRGIL_APP_KEY: appKey,
    VIRGIL_SERVICE_KEY: vectors.cards.service_private_key,
  });
}

test('every token of the vectors is judged as they say', () => {
  assert.equal(vectors.jwt.cases.length, 32);
  const codes = { expired: 20304, invalid: 20303, malformed: 20303 };
  for (const { name, token, expect, identity } of vectors.jwt.cases) {
    const judge = () => verifyToken(settings(), token, vectors.jwt.verify_at);
    if (expect === 'valid') assert.equal(judge(), identity, name);
    else assert.throws(judge, { code: codes[expect] }, name);
  }
});

test('tokens are byte-equal to the generator of Virgil', () => {
  assert.equal(vectors.jwt.sign.length, 2);
  for (const { private_key: key, identity, iat, exp, token } of vectors.jwt.sign) {
    assert.equal(exp - iat, 1200);
    assert.equal(issueToken(settings(key), identity, iat), token);
  }
});

/** Valid to Virgil, refused here: keys that Python cannot use, and identities that are not ASCII. */
const REFUSED_HERE = {
  'P-256 key': 40036, 'RSA-2048 key': 40036, 'compound Curve25519+Ed25519 key': 40036,
  'post-quantum hybrid key (round5+falcon)': 40036, 'identity outside Latin-1': 40031,
};

test('every card of the vectors is judged as they say', () => {
  assert.equal(vectors.cards.cases.length, 18);
  for (const { name, raw, card_id: id, self_signature_valid: valid } of vectors.cards.cases) {
    // What the service itself adds is not part of what a client publishes.
    const sent = { ...raw, signatures: raw.signatures?.filter(({ signer }) => signer !== 'virgil') };
    if (REFUSED_HERE[name]) assert.throws(() => parseCard(sent), { code: REFUSED_HERE[name] }, name);
    else if (valid) assert.equal(parseCard(sent).id, id, name);
    else assert.throws(() => parseCard(sent), { name: 'ServiceError' }, name);
  }
});

test('the settings name what is missing, and show no secret', () => {
  assert.throws(() => loadSettings({}), /VIRGIL_APP_KEY/);
  assert.throws(() => loadSettings({
    VIRGIL_APP_ID: 'a', VIRGIL_APP_KEY_ID: 'b', VIRGIL_APP_KEY: 'canary', VIRGIL_SERVICE_KEY: 'canary',
  }), (error) => /VIRGIL_APP_KEY/.test(error.message) && !/canary/.test(error.message));
  const shown = require('node:util').inspect(settings(), { depth: 9 }) + JSON.stringify(settings());
  assert.ok(!shown.includes(vectors.jwt.api_private_key));
  assert.ok(createPublicKey(settings().apiKey));
});
