'use strict';

// An own Parse Server with the companion: settings from the environment, one process or many.
const http = require('node:http');
const path = require('node:path');

const FilesAdapter = require('@parse/fs-files-adapter');
const express = require('express');
const { ParseServer, RedisCacheAdapter } = require('parse-server');

const companion = require('./cloud/lib/index.js');

const env = process.env;
const needed = ['PARSE_APPLICATION_ID', 'PARSE_MASTER_KEY', 'PARSE_REST_API_KEY', 'DATABASE_URI'];
const missing = needed.filter((name) => !env[name]);
if (missing.length > 0) {
  console.error(`set these environment variables: ${missing.join(', ')}`);
  process.exit(1);
}
const port = Number(env.PORT || 1337);
const local = `http://127.0.0.1:${port}/parse`;

async function start() {
  const companionSettings = companion.loadSettings(env);
  const server = new ParseServer({
    appId: env.PARSE_APPLICATION_ID,
    masterKey: env.PARSE_MASTER_KEY,
    masterKeyIps: (env.MASTER_KEY_IPS || '127.0.0.1,::1').split(','),
    restAPIKey: env.PARSE_REST_API_KEY,
    javascriptKey: env.PARSE_JAVASCRIPT_KEY || env.PARSE_REST_API_KEY,
    databaseURI: env.DATABASE_URI,
    serverURL: local,
    publicServerURL: env.PUBLIC_SERVER_URL || local,
    cloud: path.join(__dirname, 'cloud', 'main.js'),
    filesAdapter: new FilesAdapter(),
    // New classes come from your own schema work, not from whoever sends a request.
    allowClientClassCreation: env.ALLOW_CLIENT_CLASS_CREATION === 'true',
    allowCustomObjectId: false,
    // Lets a client repeat a create whose answer was lost, and decides races of versioned saves.
    idempotencyOptions: { paths: ['classes/.*', 'functions/.*'], ttl: 300 },
    liveQuery: { classNames: (env.LIVE_QUERY_CLASSES || '.*').split(','), redisURL: env.REDIS_URL },
    // Several processes share sessions, roles and users through Redis, and LiveQuery's events.
    ...(env.REDIS_URL && { cacheAdapter: new RedisCacheAdapter({ url: env.REDIS_URL }) }),
    logsFolder: null,
  });
  await server.start();

  const app = express();
  // LiveQuery encodes what is stored, and one body that it cannot encode would end the process.
  const json = express.json({ type: (request) => !request.originalUrl.startsWith('/parse/files/'), limit: '20mb' });
  app.use('/parse', json, companion.refuseUnencodableBodies, server.app);
  app.use('/virgil', companion.virgilHandler(globalThis.Parse, companionSettings));
  // What it fails with is told to whoever needs the storage: `cloud doctor --repair` needs a server.
  await companion.prepare(globalThis.Parse).catch((error) => console.error(error.message));
  const web = http.createServer(app);
  await ParseServer.createLiveQueryServer(web, { redisURL: env.REDIS_URL });
  web.listen(port, env.HOST || '0.0.0.0', () => console.log(`Parse Server answers at ${local}`));

  // Containers are stopped by SIGTERM: finish what runs, then go.
  process.once('SIGTERM', () => {
    web.close();
    server.handleShutdown().finally(() => process.exit(0));
  });
}

start().catch((error) => {
  console.error(error.message);
  process.exit(1);
});
