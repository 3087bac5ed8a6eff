// One Parse Server of the version in the folder given as argument, with the companion, on 127.0.0.1.
//
// stdin   one line of JSON: the settings. Its end is the order to stop.
// stdout  one line of JSON: the origin.
// stderr  the server's log.
'use strict';

const { createRequire } = require('node:module');
const path = require('node:path');
const { createInterface } = require('node:readline');

const LOOPBACK = '127.0.0.1';
const tellTests = process.stdout.write.bind(process.stdout);
process.stdout.write = process.stderr.write.bind(process.stderr);
process.env.PARSE_SERVER_LOGS_FOLDER = 'null';

const lines = createInterface({ input: process.stdin });
lines.once('line', (line) => start(JSON.parse(line)).catch((error) => {
  console.error(error);
  process.exit(1);
}));
lines.once('close', () => process.exit(0));

async function start(settings) {
  const require = createRequire(path.join(settings.folder, 'package.json'));
  const express = require('express');
  const ParseServer = require('parse-server').ParseServer;
  // Files go below the working folder: without MongoDB there is no GridFS.
  const FilesAdapter = require('@parse/fs-files-adapter');
  const onPostgres = settings.databaseUri.startsWith('postgres');
  const app = express();
  const cloudCode = settings.project ? deployedCode(settings, app) : installedCode(settings, require);
  const http = app.listen(0, LOOPBACK);
  await new Promise((resolve) => http.once('listening', resolve));
  const origin = `http://${LOOPBACK}:${http.address().port}`;
  const server = new ParseServer({
    appId: settings.applicationId,
    restAPIKey: settings.restApiKey,
    masterKey: settings.masterKey,
    databaseURI: settings.databaseUri,
    serverURL: `${origin}/parse`,
    cloud: cloudCode.functions,
    allowClientClassCreation: true,
    ...(onPostgres && { filesAdapter: new FilesAdapter() }),
    idempotencyOptions: { paths: ['classes/.*'], ttl: 300 },
    logsFolder: null,
    silent: false,
  });
  // Up to 5.x the server is the middleware itself, and starts with the first request.
  if (typeof server.start === 'function' && 'app' in server) {
    await server.start();
    app.use('/parse', server.app);
  } else {
    app.use('/parse', server);
  }
  cloudCode.mountRoutes(app);
  await ready(`${origin}/parse/health`);
  await cloudCode.prepare();
  tellTests(`${JSON.stringify({ origin })}\n`);
}

/** The companion as an own server uses it. */
function installedCode(settings, require) {
  const companion = module.require(settings.cloudCode);
  const companionSettings = companion.loadSettings(settings.virgil);
  return {
    functions: (Parse) => {
      companion.installCloudFunctions(Parse, companionSettings);
      if (settings.encryptedFields) companion.installGuard(Parse, settings.encryptedFields);
    },
    mountRoutes: (app) => {
      const { bls12_381 } = require('@noble/curves/bls12-381');
      app.use('/virgil', companion.virgilHandler(globalThis.Parse, companionSettings, { bls12_381 }));
    },
    // Without it the first requests make the classes, perhaps in two processes at once.
    prepare: async () => { if (settings.prepare) await companion.prepare(globalThis.Parse); },
  };
}

/** A project's folder as Back4App runs it: `Parse` and `app` are globals, secrets are variables. */
function deployedCode(settings, app) {
  const cloud = path.join(settings.project, 'cloud');
  Object.assign(process.env, settings.virgil);
  globalThis.app = app;
  return {
    functions: path.join(cloud, 'main.js'),
    mountRoutes: () => { module.require(path.join(cloud, 'app.js')); },
    prepare: async () => {},
  };
}

async function ready(url) {
  for (let attempt = 0; attempt < 200; attempt += 1) {
    const answer = await fetch(url).catch(() => null);
    if (answer?.ok && (await answer.json()).status === 'ok') return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error('the server did not become healthy');
}
