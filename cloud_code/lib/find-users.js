'use strict';

const INVALID_SESSION_TOKEN = 209;
const VALIDATION_ERROR = 142;
const MAX_NAMES = 20;
const MAX_NAME_CHARACTERS = 256;
const MASTER = Object.freeze({ useMasterKey: true });

/**
 * The cloud function `find-users`: the object ids of users by their exact names.
 *
 * By default it tells what Parse itself tells the caller, who asks with their own rights: since
 * Parse Server 6 that is nobody but themselves, unless the users' ACLs say more. With the setting
 * `findUsers` (`ENCRYPTED_PARSE_FIND_USERS=exact`) it finds every user for everybody who is logged
 * in: 20 names a call, no patterns, no other case, and of a user nothing but the id. Names that it
 * does not find are left out; whether they exist is not told.
 *
 * @param {object} Parse the server's own
 * @param {{findUsers: boolean}} settings
 */
function installFindUsers(Parse, { findUsers }) {
  Parse.Cloud.define('find-users', async ({ user, params }) => {
    if (!user) throw new Parse.Error(INVALID_SESSION_TOKEN, 'log in first');
    const names = params?.names;
    if (!Array.isArray(names) || names.length < 1 || names.length > MAX_NAMES || !names.every(isName)) {
      throw new Parse.Error(VALIDATION_ERROR, `the parameter names is a list of 1 to ${MAX_NAMES} user names`);
    }
    const rights = findUsers ? MASTER : { sessionToken: user.getSessionToken() };
    const wanted = new Set(names);
    const query = new Parse.Query('_User').containedIn('username', [...wanted]).select('username').limit(MAX_NAMES);
    const users = Object.create(null);
    for (const found of await readable(query, rights, Parse)) {
      const name = found.get('username');
      if (wanted.has(name)) users[name] = found.id;
    }
    return { users };
  });
}

/** What *query* finds with *rights*; nothing where class-level permissions or protected fields forbid it. */
async function readable(query, rights, Parse) {
  try {
    return await query.find(rights);
  } catch (error) {
    if (error?.code === Parse.Error.OPERATION_FORBIDDEN) return [];
    throw error;
  }
}

function isName(name) {
  return typeof name === 'string' && name !== '' && name.length <= MAX_NAME_CHARACTERS;
}

module.exports = { installFindUsers };
