'use strict';

/**
 * The companion: Virgil's services inside a Parse app, so that E3Kit clients need no other server.
 *
 *     const companion = require('./lib');
 *     const settings = companion.loadSettings(process.env);
 *     companion.installCloudFunctions(Parse, settings);             // tokens, roles, names, deleted users, storage
 *     companion.installGuard(Parse, require('./encrypted-fields.json'));
 *     app.use('/virgil', companion.virgilHandler(Parse, settings)); // cards, Keyknox, BrainKey
 */
const { brainKeyRoutes } = require('./brainkey.js');
const { cardRoutes } = require('./cards-service.js');
const { createEncodableCheck, refuseUnencodableBodies } = require('./encodable.js');
const { installErasing } = require('./erasing.js');
const { installFeatures } = require('./features.js');
const { installFindUsers } = require('./find-users.js');
const { createGuard, installGuard } = require('./guard.js');
const { createHandler } = require('./http.js');
const { keyknoxRoutes } = require('./keyknox-service.js');
const { loadSettings } = require('./settings.js');
const { installRoleMembers } = require('./role-members.js');
const { installStatus } = require('./status.js');
const { prepare, prepareInBackground, storesOf } = require('./stores.js');
const { installVirgilJwt } = require('./virgil-jwt.js');

/**
 * Define the functions `virgil-jwt`, `role-members`, `find-users`, `encrypted-parse-features`,
 * `encrypted-parse-status`, `encrypted-parse-repair` and `encrypted-parse-erase-cards`, clean up
 * after deleted users, and begin to make the storage.
 *
 * Parse Server keeps one `afterDelete` a class: an app that has its own for users passes
 * `{afterDeleteUser: false}` and calls `forgetUser(Parse, userId)` there.
 *
 * @param {object} Parse
 * @param {import('./settings.js').Settings} settings
 * @param {{afterDeleteUser?: boolean}} [options]
 */
function installCloudFunctions(Parse, settings, { afterDeleteUser = true } = {}) {
  storesOf(Parse, settings);
  installVirgilJwt(Parse, settings);
  installRoleMembers(Parse);
  installFindUsers(Parse, settings);
  installStatus(Parse, settings);
  installErasing(Parse);
  installFeatures(Parse);
  if (afterDeleteUser) Parse.Cloud.afterDelete('_User', ({ object }) => forgetUser(Parse, object.id));
  prepareInBackground(Parse, settings);
}

/**
 * End the identity of a deleted user: its cards are revoked, no other is ever published for it, and
 * what it kept in Keyknox is deleted. Other users' records for it stay: they cannot be read by
 * anybody else, and are their owners' to delete.
 *
 * @param {object} Parse
 * @param {string} userId
 */
async function forgetUser(Parse, userId) {
  const { cards, keyknox, throttle } = storesOf(Parse);
  await cards.end(userId);
  await keyknox.removeAll(userId);
  await throttle.forget(userId);
}

/**
 * The services as one Express handler. Requests wait for the storage.
 *
 * @param {object} Parse
 * @param {import('./settings.js').Settings} settings
 * @param {{bls12_381?: object}} [options] the curve of `@noble/curves`, where the companion's
 *   folder cannot `require` it
 */
function virgilHandler(Parse, settings, options = {}) {
  const { cards, keyknox, throttle } = storesOf(Parse, settings);
  const routes = [
    ...cardRoutes(cards, settings),
    ...keyknoxRoutes(keyknox),
    ...brainKeyRoutes(settings, throttle, options),
  ];
  return createHandler(routes, settings, { hasEnded: (identity) => cards.hasEnded(identity) });
}

module.exports = {
  createEncodableCheck, createGuard, forgetUser, installCloudFunctions, installGuard, loadSettings, prepare,
  refuseUnencodableBodies, virgilHandler,
};
