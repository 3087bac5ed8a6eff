'use strict';

/**
 * The companion: Virgil's services inside a Parse app, so that E3Kit clients need no other server.
 *
 *     const companion = require('./lib');
 *     const settings = companion.loadSettings(process.env);
 *     companion.installCloudFunctions(Parse, settings);             // virgil-jwt
 *     app.use('/virgil', companion.virgilHandler(Parse, settings)); // cards v5
 */
const { CardStore } = require('./card-store.js');
const { cardRoutes } = require('./cards-service.js');
const { createHandler } = require('./http.js');
const { loadSettings } = require('./settings.js');
const { installVirgilJwt } = require('./virgil-jwt.js');

/** @param {object} Parse @param {import('./settings.js').Settings} settings */
function installCloudFunctions(Parse, settings) {
  installVirgilJwt(Parse, settings);
}

/**
 * The services as one Express handler. Its storage is made by the first request.
 *
 * @param {object} Parse @param {import('./settings.js').Settings} settings
 */
function virgilHandler(Parse, settings) {
  const store = new CardStore(Parse);
  return createHandler(cardRoutes(store, settings), settings);
}

/** Make the storage now, so that a server that cannot says so at its start. @param {object} Parse */
async function prepare(Parse) {
  await new CardStore(Parse).prepare();
}

module.exports = { installCloudFunctions, loadSettings, prepare, virgilHandler };
