// A Parse Server with its own Postgres, run by encrypted_parse.devserver.
//
// stdin   one line of JSON: the settings, secrets among them; then perhaps the line "stop".
//         Its end, however it comes, is the order to stop as well.
// stdout  one line of JSON: that everything is ready, or what failed.
// stderr  everything that is for people: the server's log.
import { rm } from 'node:fs/promises';

import { startParse } from './parse.mjs';
import { startPostgres } from './postgres.mjs';

const CLEANUP_MILLISECONDS = 6000; // of one step; the launcher waits longer than for all of them

// Whatever else prints to stdout prints to the log.
const tellLauncher = process.stdout.write.bind(process.stdout);
process.stdout.write = process.stderr.write.bind(process.stderr);

// What the parts share: what has to be undone, and whether that has begun.
const lifecycle = { cleanups: [], stopping: null, onDeath: () => stop(1) };
let launcherSaidStop = false;

const settings = JSON.parse(await readLauncher());
process.umask(0o077);
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => stop(0));

try {
  // Postgres starts while the loading of Parse Server's modules keeps this thread busy.
  const database = startPostgres(settings, lifecycle);
  database.catch(() => {}); // reported where it is awaited
  const address = await startParse(settings, lifecycle, database);
  tellLauncher(`${JSON.stringify({ ...address, database: await database })}\n`);
} catch (error) {
  console.error(error?.stack ?? error);
  const failure = error?.syscall === 'listen' ? error.code : 'see the log';
  tellLauncher(`${JSON.stringify({ failure })}\n`);
  await stop(1);
}

/** Return the first line of stdin, and obey what follows it. */
function readLauncher() {
  return new Promise((resolve) => {
    let text = '';
    process.stdin.setEncoding('utf8');
    process.stdin.on('data', (piece) => {
      text += piece;
      const lines = text.split('\n');
      if (lines.length > 1) resolve(lines[0]);
      if (lines[1] === 'stop') launcherSaidStop = true;
    });
    for (const event of ['end', 'close', 'error']) process.stdin.on(event, () => stop(0));
  });
}

/** Undo what was done, the last first, and exit. */
function stop(code) {
  lifecycle.stopping ??= (async () => {
    // Parse Server would exit at once, with the rest undone.
    process.removeAllListeners('uncaughtException');
    // A lost connection, while the database goes too: in a line, so that the log still ends with
    // why all this happens.
    process.on('uncaughtException', (error) => console.error(`while stopping: ${error?.message ?? error}`));
    for (const cleanup of lifecycle.cleanups.reverse()) {
      await Promise.race([cleanup().catch((error) => console.error(error?.stack ?? error)), timeout()]);
    }
    // A launcher that was killed cannot remove its temporary folder.
    if (settings?.temporary && !launcherSaidStop) {
      await rm(settings.dataDir, { recursive: true, force: true });
    }
    process.exit(code);
  })();
  return lifecycle.stopping;
}

function timeout() {
  return new Promise((resolve) => setTimeout(resolve, CLEANUP_MILLISECONDS).unref());
}
