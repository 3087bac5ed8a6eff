'use strict';

/**
 * The companion: Virgil's services inside a Parse app, so that E3Kit clients need no other server.
 *
 *     const companion = require('./lib');
 *     const settings = companion.loadSettings(process.env);
 *     companion.installCloudFunctions(Parse, settings);             // tokens, roles, deleted users
 *     companion.installGuard(Parse, require('./encrypted-fields.json'));
 *     app.use('/virgil', companion.virgilHandler(Parse, settings)); // cards, Keyknox, BrainKey
 */
const { brainKeyRoutes } = require('./brainkey.js');
const { CardStore } = require('./card-store.js');
const { cardRoutes } = require('./cards-service.js');
const { createGuard, installGuard } = require('./guard.js');
const { createHandler } = require('./http.js');
const { keyknoxRoutes } = require('./keyknox-service.js');
const { KeyknoxStore } = require('./keyknox-store.js');
const { loadSettings } = require('./settings.js');
const { ReportStore } = require('./report-store.js');
const { installRoleMembers } = require('./role-members.js');
const { installStatus } = require('./status.js');
const { installVirgilJwt } = require('./virgil-jwt.js');

/**
 * Define the functions `virgil-jwt`, `role-members` and `encrypted-parse-status`, and clean up after
 * deleted users.
 *
 * Parse Server keeps one `afterDelete` a class: an app that has its own for users passes
 * `{afterDeleteUser: false}` and calls `forgetUser(Parse, userId)` there.
 *
 * @param {object} Parse
 * @param {import('./settings.js').Settings} settings
 * @param {{afterDeleteUser?: boolean}} [options]
 */
function installCloudFunctions(Parse, settings, { afterDeleteUser = true } = {}) {
  installVirgilJwt(Parse, settings);
  installRoleMembers(Parse);
  installStatus(Parse, settings);
  if (afterDeleteUser) Parse.Cloud.afterDelete('_User', ({ object }) => forgetUser(Parse, object.id));
}

/**
 * Revoke the cards of a deleted user, and delete what it kept in Keyknox. Other users' records
 * for it stay: they cannot be read by anybody else, and are their owners' to delete.
 *
 * @param {object} Parse
 * @param {string} userId
 */
async function forgetUser(Parse, userId) {
  await new CardStore(Parse).revokeAll(userId);
  await new KeyknoxStore(Parse).removeAll(userId);
}

/**
 * The services as one Express handler. Its storage is made by the first request.
 *
 * @param {object} Parse
 * @param {import('./settings.js').Settings} settings
 * @param {{bls12_381?: object}} [options] the curve of `@noble/curves`, where the companion's
 *   folder cannot `require` it
 */
function virgilHandler(Parse, settings, options = {}) {
  const routes = [
    ...cardRoutes(new CardStore(Parse), settings),
    ...keyknoxRoutes(new KeyknoxStore(Parse)),
    ...brainKeyRoutes(settings, options),
  ];
  return createHandler(routes, settings);
}

/** Make the storage now, so that a server that cannot says so at its start. @param {object} Parse */
async function prepare(Parse) {
  await new CardStore(Parse).prepare();
  await new KeyknoxStore(Parse).prepare();
  await new ReportStore(Parse).prepare();
}

module.exports = { createGuard, forgetUser, installCloudFunctions, installGuard, loadSettings, prepare, virgilHandler };
