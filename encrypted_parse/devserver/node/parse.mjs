// Parse Server, the companion's routes beside it, and LiveQuery, on one HTTP port.
import { createRequire } from 'node:module';
import path from 'node:path';
import { pathToFileURL } from 'node:url';

const LOOPBACK = '127.0.0.1';
const OPEN_STORAGE = 10006; // cloud_code/lib/errors.js

/** Start Parse Server on `database` (a promise) and return its origin. */
export async function startParse(settings, lifecycle, database) {
  process.env.PARSE_SERVER_LOGS_FOLDER = 'null'; // even for what is logged while loading
  const require = createRequire(path.join(settings.modules, 'package.json'));
  const express = require('express');
  const { ParseServer } = require('parse-server');
  const companion = require(settings.cloudCode);
  const companionSettings = companion.loadSettings(settings.virgil);

  const app = express();
  // The port has to be known before the server is told its own address.
  const http = app.listen(settings.port, LOOPBACK);
  await new Promise((resolve, reject) => http.once('listening', resolve).once('error', reject));
  lifecycle.cleanups.push(async () => {
    http.close();
    http.closeAllConnections();
  });
  const origin = `http://${LOOPBACK}:${http.address().port}`;
  const server = new ParseServer(
    options(settings, require, origin, await database, async (Parse) => {
      companion.installCloudFunctions(Parse, companionSettings);
      Parse.Cloud.beforeSave('_User', companion.createEncodableCheck(Parse));
      if (settings.encryptedFields) companion.installGuard(Parse, require(settings.encryptedFields));
      if (settings.cloudMain) await import(pathToFileURL(settings.cloudMain).href);
    }),
  );
  // Before Postgres goes: a pool that loses its connections throws. (The adapter's own
  // handleShutdown does the same, but does not say when it is done.)
  lifecycle.cleanups.push(async () => server.config.databaseController.adapter._client?.$pool.end());
  await server.start();
  tameLiveQuery(server.config.liveQueryController);
  app.use('/parse', server.app);
  // From here, since the cloud code's folder has no packages of its own.
  const { bls12_381 } = require('@noble/curves/bls12-381');
  app.use('/virgil', companion.virgilHandler(globalThis.Parse, companionSettings, { bls12_381 }));
  await prepare(companion, companionSettings);
  await ParseServer.createLiveQueryServer(http);
  return { origin };
}

/** LiveQuery is on for every class here: an object that it cannot encode is told to nobody, and ends nothing. */
function tameLiveQuery(controller) {
  for (const name of ['onAfterSave', 'onAfterDelete']) {
    const tell = controller[name].bind(controller);
    controller[name] = (...event) => {
      try {
        return tell(...event);
      } catch (error) {
        console.error(`error: LiveQuery cannot encode an object: ${error?.message}`);
        return undefined;
      }
    };
  }
}

/** Make the storage before the first request; if it is open, the server starts so that it can be repaired. */
async function prepare(companion, companionSettings) {
  try {
    await companion.prepare(globalThis.Parse, companionSettings);
  } catch (error) {
    if (error?.code !== OPEN_STORAGE) throw error;
    console.error(`error: ${error.message}`);
  }
}

function options(settings, require, origin, database, cloud) {
  const FilesAdapter = require('@parse/fs-files-adapter');
  const { user, host, port, name } = database;
  return {
    appId: settings.applicationId,
    restAPIKey: settings.restApiKey,
    javascriptKey: settings.javascriptKey,
    masterKey: settings.masterKey,
    masterKeyIps: ['127.0.0.1', '::1'],
    databaseURI: `postgres://${user}:${settings.databasePassword}@${host}:${port}/${name}`,
    serverURL: `${origin}/parse`,
    publicServerURL: `${origin}/parse`,
    cloud,
    allowClientClassCreation: true,
    allowCustomObjectId: false,
    idempotencyOptions: { paths: ['classes/.*', 'functions/.*'], ttl: 300 },
    liveQuery: { classNames: ['.*'] }, // patterns: every class
    filesAdapter: new FilesAdapter(), // below the working folder, which is the data folder
    logsFolder: null, // everything goes to the one log that the launcher opened
    logLevel: settings.verbose ? 'verbose' : 'info',
    verbose: settings.verbose,
    // These lines quote parameters and results: tokens, and what clients store.
    logLevels: {
      cloudFunctionSuccess: 'verbose',
      triggerAfter: 'verbose',
      triggerBeforeSuccess: 'verbose',
    },
  };
}
