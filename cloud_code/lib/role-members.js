'use strict';

const INVALID_SESSION_TOKEN = 209;
const VALIDATION_ERROR = 142;
const MAX_ROLES = 20;
const MAX_NAME_CHARACTERS = 256;
const MAX_VISITED = 200;
const MAX_MEMBERS = 1024; // an envelope has no more recipients
const PAGE = 1000;
const MASTER = Object.freeze({ useMasterKey: true });
const HIDDEN = 'a role, or a role in it, does not exist or is hidden from you';

/**
 * The cloud function `role-members`: the users of roles, so that clients can encrypt for them.
 *
 * A role's users are told to everybody who may read the role by its ACL, and with them the users
 * of the roles in it, which have the same permissions: if the caller may read each of those too. Else
 * nothing is told, since a part would be taken for the whole. Nothing else of a role or a user is told.
 *
 * @param {object} Parse the server's own
 */
function installRoleMembers(Parse) {
  Parse.Cloud.define('role-members', async ({ user, params }) => {
    const refuse = (text) => new Parse.Error(VALIDATION_ERROR, text);
    if (!user) throw new Parse.Error(INVALID_SESSION_TOKEN, 'log in first');
    const names = params?.roles;
    if (!Array.isArray(names) || names.length < 1 || names.length > MAX_ROLES || !names.every(isName)) {
      throw refuse(`the parameter roles is a list of 1 to ${MAX_ROLES} names`);
    }
    const sessionToken = user.getSessionToken();
    const members = Object.create(null);
    for (const name of new Set(names)) {
      const role = await new Parse.Query('_Role').equalTo('name', name).first({ sessionToken });
      if (!role) throw refuse(HIDDEN);
      members[name] = await usersOf(role, sessionToken, refuse);
    }
    return { members };
  });
}

/** The ids of a role's users and of those of the roles in it, at any depth, sorted. */
async function usersOf(role, sessionToken, refuse) {
  const found = new Set();
  const visited = new Set([role.id]);
  for (let level = [role]; level.length > 0;) {
    const below = [];
    for (const one of level) {
      for (const user of await related(one, 'users', MAX_MEMBERS + 1, MASTER)) found.add(user.id);
      if (found.size > MAX_MEMBERS) throw refuse(`a role has more than ${MAX_MEMBERS} users`);
      const inside = await related(one, 'roles', MAX_VISITED + 1, MASTER);
      const readable = new Set((await related(one, 'roles', MAX_VISITED + 1, { sessionToken })).map(({ id }) => id));
      if (inside.some(({ id }) => !readable.has(id))) throw refuse(HIDDEN);
      for (const inner of inside) {
        if (!visited.has(inner.id)) below.push(inner);
        visited.add(inner.id);
      }
      if (visited.size > MAX_VISITED) throw refuse(`a role holds more than ${MAX_VISITED} roles`);
    }
    level = below;
  }
  return [...found].sort();
}

/** Objects of a relation, with nothing but their ids, at most *most* of them. */
async function related(role, relation, most, rights) {
  const query = role.relation(relation).query().select('objectId').ascending('objectId');
  const objects = [];
  while (objects.length < most) {
    const rest = query.limit(Math.min(PAGE, most - objects.length)).skip(objects.length);
    const page = await rest.find(rights);
    if (page.length === 0) break;
    objects.push(...page);
  }
  return objects;
}

function isName(name) {
  return typeof name === 'string' && name !== '' && name.length <= MAX_NAME_CHARACTERS;
}

module.exports = { installRoleMembers };
