'use strict';

const { isSameContent, parseEnvelope } = require('./envelope.js');

/**
 * Whether an envelope that is about to be stored was made for a key that its user has replaced or
 * revoked: nobody might ever open it again. The client asks for the users' present cards then.
 *
 * Two kinds of old keys are none of its business. The writer's own: an old device names the key that
 * it has. And those of an envelope that is only given to more readers: whoever has the old key can
 * read what was made for it, and the stanzas of before stay.
 *
 * @param {import('./card-store.js').CardStore} cards
 * @param {import('./envelope.js').Envelope} envelope
 * @param {{text: string, stored: unknown}} values of the column: to be stored, and stored before
 * @param {(string | null | undefined)[]} writers users whose own keys are their own matter
 * @returns {Promise<boolean>}
 */
async function namesReplacedKey(cards, envelope, { text, stored }, writers) {
  const before = parseEnvelope(stored);
  const kept = new Set(before !== null && isSameContent(text, stored) ? before.recipients : []);
  const added = envelope.recipients.filter((keyId) => !kept.has(keyId));
  if (added.length === 0) return false;
  return (await cards.replacedKeys(added)).some(({ identity }) => !writers.includes(identity));
}

module.exports = { namesReplacedKey };
