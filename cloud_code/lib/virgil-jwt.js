'use strict';

const { issueToken } = require('./jwt.js');
const { storesOf } = require('./stores.js');

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

/** The id of the session's user, which has to be there still: sessions outlive users, as rows and in caches. */
async function findUserId(Parse, { user, params }) {
  const owner = user ? ownerByRequest(Parse, user, params?.sessionToken) : await ownerByParameter(Parse, params?.sessionToken);
  const refused = new Parse.Error(INVALID_SESSION_TOKEN, 'log in first');
  if (typeof owner !== 'string') throw refused;
  const present = await new Parse.Query('_User').equalTo('objectId', owner).select('objectId').first({ useMasterKey: true });
  if (!present || (await storesOf(Parse).cards.hasEnded(owner))) throw refused;
  return owner;
}

function ownerByRequest(Parse, user, given) {
  if (given === undefined || given === null || given === '' || given === user.getSessionToken()) return user.id;
  throw new Parse.Error(VALIDATION_ERROR, 'the parameter sessionToken is not the session of this request');
}

async function ownerByParameter(Parse, given) {
  if (typeof given !== 'string' || given === '' || given.length > MAX_SESSION_TOKEN_CHARACTERS) return undefined;
  return (await findLiveSession(Parse, given))?.get('user')?.id;
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
