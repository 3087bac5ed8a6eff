'use strict';

// Which cards the companion accepts: those that the Python client accepts, case by case (ADR 17).
const assert = require('node:assert/strict');
const { createPrivateKey } = require('node:crypto');
const { readFileSync } = require('node:fs');
const path = require('node:path');
const test = require('node:test');

const { countersign, parseCard, toRaw } = require('../lib/card.js');

const vectors = JSON.parse(readFileSync(path.join(__dirname, '../../tests/vectors/cards.json'), 'utf8'));
const serviceKey = createPrivateKey({
  key: Buffer.from(vectors.service_private_key, 'base64'), format: 'der', type: 'pkcs8',
});
const CODES = { malformed: 40031, 'key type': 40036, signature: 40035 };

test('every card of the vectors is judged as they say', () => {
  assert.equal(vectors.cases.length, 216);
  for (const { name, expect, reason, raw, card_id: id, service_signature: signature } of vectors.cases) {
    const publish = () => countersign(parseCard(raw), serviceKey);
    if (expect === 'refused') {
      assert.throws(publish, { name: 'ServiceError', code: CODES[reason] }, name);
    } else {
      const card = publish();
      assert.equal(card.id, id, name);
      assert.equal(toRaw(card).content_snapshot, raw.content_snapshot, name);
      assert.deepEqual(toRaw(card).signatures.at(-1), { signer: 'virgil', signature }, name);
      assert.equal(card.signatures.length, raw.signatures.length + 1, name);
    }
  }
});
