'use strict';

/**
 * The errors that clients see, with their numbers in one place.
 *
 * Blocks: 1000x routing and body, 2030x tokens, 400xx cards, 500xx Keyknox, 600xx BrainKey. Clients
 * switch on `code`; E3Kit acts on 20304, 50010 and 60007, and knows 40032 and 40034.
 */
const ERRORS = Object.freeze({
  unknownRoute: [404, 10001, 'no such endpoint'],
  methodNotAllowed: [405, 10002, 'this endpoint takes another method'],
  bodyTooLarge: [413, 10003, 'the request body is too large'],
  bodyNotJson: [400, 10004, 'the request body is not a JSON object'],
  internal: [500, 10005, 'the service failed'],
  openStorage: [503, 10006, 'the storage is open to clients; its operator runs `encrypted-parse cloud doctor --repair`'],
  noToken: [401, 20300, 'a request needs the header Authorization: Virgil <JWT>'],
  invalidToken: [401, 20303, 'the token is not valid here'],
  expiredToken: [401, 20304, 'the token is expired'],
  cardNotFound: [404, 40030, 'no such card'],
  malformedCard: [400, 40031, 'not a raw card of version 5.0, or larger than 16 KiB'],
  foreignCard: [400, 40032, 'the card belongs to another identity'],
  invalidSearch: [400, 40033, 'a search names 1 to 50 identities'],
  identityMismatch: [400, 40034, "the card's identity is not the token's"],
  badSelfSignature: [400, 40035, "the card's self signature does not hold"],
  unsupportedKey: [400, 40036, "this user's key type cannot be used from Python: register with an Ed25519 key, E3Kit's default"],
  badCreationTime: [400, 40037, "the card's created_at is more than a day off"],
  badPredecessor: [400, 40038, 'previous_card_id is not the current card of this identity'],
  alreadyActive: [400, 40039, 'the identity has an active card; replace or revoke it'],
  notCurrent: [400, 40040, 'only the current card of a chain can be revoked'],
  tooManyCards: [400, 40041, 'the identity has too many cards'],
  replayedCard: [400, 40043, 'the card was published before and is not current any more'],
  answerTooLarge: [400, 40044, 'the cards of these identities are more than 4 MiB: ask for fewer at once'],
  endedIdentity: [400, 40045, 'the user of this identity was deleted'],
  invalidOutdated: [400, 40042, 'outdated takes at most 1000 card ids'],
  hashMismatch: [400, 50010, 'the record has changed: pull it first, and send the hash that came with it'],
  malformedRecord: [400, 50011, 'not a Keyknox request: see which members this call takes'],
  recordTooLarge: [400, 50012, 'the record holds too much'],
  tooManyRecords: [400, 50013, 'the identity has too many records'],
  quotaExceeded: [400, 50014, 'what the identity keeps in Keyknox would be more than it may'],
  malformedPoint: [400, 60001, 'blinded_password is not a point of the group'],
  brainKeyOff: [404, 60002, 'this service has no BrainKey secret, so it cannot make backups by password'],
  throttled: [429, 60007, 'one password attempt every two seconds'],
});

/** An error whose status, code and text go to the client. */
class ServiceError extends Error {
  /** @param {keyof typeof ERRORS} name */
  constructor(name) {
    const [status, code, message] = ERRORS[name];
    super(message);
    this.name = 'ServiceError';
    this.status = status;
    this.code = code;
  }
}

module.exports = { ERRORS, ServiceError };
