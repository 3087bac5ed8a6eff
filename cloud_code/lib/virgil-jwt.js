'use strict';

const { issueToken } = require('./jwt.js');

const INVALID_SESSION_TOKEN = 209;
const VALIDATION_ERROR = 142;
const MAX_SESSION_TOKEN_CHARACTERS = 256;

/**
 * The cloud function `virgil-jwt`: a Virgil token for the caller's session (section 2.1).
 *
 * The identity is the user's object id. All checks are made here: old servers ignore validator
 * objects, and no server applies them to the master key.
 *
 * @param {object} Parse the server's own
 * @param {import('./settings.js').Settings} settings
 */
function installVirgilJwt(Parse, settings) {
  Parse.Cloud.define('virgil-jwt', async (request) => {
    const userId = await findUserId(Parse, request);
    return { token: issueToken(settings, userId, Math.floor(Date.now() / 1000)) };
  });
}

async function findUserId(Parse, { user, params }) {
  const given = params?.sessionToken;
  if (user && (given === undefined || given === null || given === '')) return user.id;
  if (user) {
    if (given === user.getSessionToken()) return user.id;
    throw new Parse.Error(VALIDATION_ERROR, 'the parameter sessionToken is not the session of this request');
  }
  const found = typeof given === 'string' && given.length <= MAX_SESSION_TOKEN_CHARACTERS && given !== ''
    ? await findLiveSession(Parse, given) : null;
  const owner = found?.get('user')?.id;
  if (typeof owner !== 'string') throw new Parse.Error(INVALID_SESSION_TOKEN, 'log in first');
  return owner;
}

/** Sessions outlive their expiry as rows, so the date decides. */
async function findLiveSession(Parse, sessionToken) {
  const session = await new Parse.Query('_Session')
    .equalTo('sessionToken', sessionToken)
    .first({ useMasterKey: true });
  const expiresAt = session?.get('expiresAt');
  return expiresAt instanceof Date && expiresAt.getTime() > Date.now() ? session : null;
}

module.exports = { installVirgilJwt };
