'use strict';

const { isIdentity } = require('./jwt.js');
const { storesOf } = require('./stores.js');

const OPERATION_FORBIDDEN = 119;
const VALIDATION_ERROR = 142;

/**
 * The cloud function `encrypted-parse-erase-cards`, for the master key alone: delete the cards of a
 * deleted user, with which others verify what the user wrote. That no other card is ever published for
 * the identity stays.
 *
 *     {"userId": "..."} -> {"erased": 3}
 *
 * @param {object} Parse
 */
function installErasing(Parse) {
  Parse.Cloud.define('encrypted-parse-erase-cards', async ({ master, params }) => {
    if (master !== true) throw new Parse.Error(OPERATION_FORBIDDEN, 'for the master key alone');
    const erased = isIdentity(params.userId) ? await storesOf(Parse).cards.erase(params.userId) : null;
    if (erased === null) throw new Parse.Error(VALIDATION_ERROR, 'userId is of no deleted user');
    return { erased };
  });
}

module.exports = { installErasing };
