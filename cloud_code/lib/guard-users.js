'use strict';

/**
 * Users as columns and ACLs name them: by their ids, or by pointers to `_User`. What is neither is
 * told apart from nobody, so that no rule passes because it could not read a column.
 */
const USER_CLASS = '_User';

const isNobody = (value) => value === undefined || value === null;

/** @param {unknown} value @returns {string | null} null if it names no user */
function userIdOf(value) {
  const id = value?.className === USER_CLASS ? value.id : value;
  return typeof id === 'string' && id !== '' ? id : null;
}

/** Whether two values of an author's column name the same user, or both nobody. */
function isSameUser(left, right) {
  if (isNobody(left) || isNobody(right)) return isNobody(left) && isNobody(right);
  return userIdOf(left) !== null && userIdOf(left) === userIdOf(right);
}

/**
 * @typedef {object} Readers
 * @property {string[]} readers the users who have to be able to open the value
 * @property {Set<string> | null} permitted those who may be, its author aside: whoever gets the object
 *   by its ACL may be given its value too, which is what sharing does; null if ids do not tell
 * @property {boolean} everybody the value is for the ACL's readers, and they are everybody
 * @property {boolean} unknown a column holds something else than users
 */

/**
 * Who is to read: those of the ACL, or of the named columns. Roles are not resolved.
 *
 * @param {object} object
 * @param {'acl' | string[] | null} declared null where only a client can tell
 * @returns {Readers}
 */
function readersOf(object, declared) {
  if (declared === null) return { readers: [], permitted: null, everybody: false, unknown: false };
  const permissions = object.getACL()?.permissionsById ?? { '*': { read: true } };
  const named = Object.keys(permissions).filter((who) => permissions[who]?.read);
  const users = named.filter((who) => who !== '*' && !who.startsWith('role:'));
  const everybody = named.includes('*');
  const told = users.length === named.length;
  if (declared === 'acl') {
    return { readers: users, permitted: told ? new Set(users) : null, everybody, unknown: false };
  }
  const ids = declared.flatMap((column) => object.get(column) ?? []).map(userIdOf);
  const readers = ids.filter((id) => id !== null);
  const unknown = readers.length < ids.length;
  const permitted = told && !unknown ? new Set([...readers, ...users]) : null;
  return { readers, permitted, everybody: false, unknown };
}

/**
 * Whose the value is: the user in the named column, or without one the user who sets it.
 *
 * @param {object} object
 * @param {string | null} column
 * @param {{id: string} | undefined} setter undefined if the value is not set, or by nobody
 * @returns {{id: string | null, unknown: boolean}} *id*: null if that cannot be told; *unknown*: the
 *   column holds something else than a user, nobody included
 */
function authorOf(object, column, setter) {
  if (column === null) return { id: setter?.id ?? null, unknown: false };
  const id = userIdOf(object.get(column));
  return { id, unknown: id === null };
}

module.exports = { authorOf, isSameUser, readersOf };
