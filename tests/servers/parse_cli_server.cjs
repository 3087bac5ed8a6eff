// Back4App's public server of the deploy protocol (back4app/parse-cli-server, MIT), out of a checkout
// of its source, on a Parse Server of the tests. It is on no package registry, so who wants to try
// it names a checkout: PARSE_CLI_SERVER=DIR.
//
// stdin   one line of JSON: the settings.
// stdout  one line of JSON: the address.
'use strict';

const { randomBytes } = require('node:crypto');
const { createRequire } = require('node:module');
const path = require('node:path');
const { createInterface } = require('node:readline');

const LOOPBACK = '127.0.0.1';
const COLUMNS = {
  deployFile: { version: 'String', checksum: 'String', folder: 'String', filename: 'String', name: 'String', url: 'String', encoding: 'String' },
  deployInfo: { parseVersion: 'String', description: 'String', releaseName: 'String', deployedAt: 'String', releaseId: 'Number', files: 'Array' },
};
const tellTests = process.stdout.write.bind(process.stdout);
process.stdout.write = process.stderr.write.bind(process.stderr);

const lines = createInterface({ input: process.stdin });
lines.once('line', (line) => start(JSON.parse(line)).catch((error) => {
  console.error(error);
  process.exit(1);
}));
lines.once('close', () => process.exit(0));

async function start(settings) {
  const require = createRequire(path.join(settings.packages, 'package.json'));
  const express = require('express');
  const { ParseServer } = require('parse-server');
  const FilesAdapter = require('@parse/fs-files-adapter');
  const ParseCliServer = load(settings, require);
  const app = express();
  const http = app.listen(0, LOOPBACK);
  await new Promise((resolve) => http.once('listening', resolve));
  const origin = `http://${LOOPBACK}:${http.address().port}`;
  const { appId, masterKey } = settings;
  const parse = new ParseServer({
    appId, masterKey, databaseURI: settings.databaseUri, serverURL: `${origin}/parse`, filesAdapter: new FilesAdapter(), logsFolder: null,
  });
  app.use('/parse', parse);
  // On MongoDB, for which it was written, columns and object ids make themselves.
  const headers = { 'X-Parse-Application-Id': appId, 'X-Parse-Master-Key': masterKey, 'Content-Type': 'application/json' };
  for (const [className, columns] of Object.entries(COLUMNS)) {
    const fields = Object.fromEntries(Object.entries(columns).map(([name, type]) => [name, { type }]));
    const answer = await fetch(`${origin}/parse/schemas/${className}`, { method: 'POST', headers, body: JSON.stringify({ className, fields }) });
    if (!answer.ok) throw new Error(await answer.text());
  }
  const config = require('parse-server/lib/cache').default.get(appId);
  const { databaseController: database } = config;
  const create = database.create.bind(database);
  database.create = (className, object, ...rest) => create(className, { objectId: randomBytes(8).toString('hex'), ...object }, ...rest);
  // Back4App's own adapter puts releases onto its machines; here they are only kept.
  const vendorAdapter = { collect: async () => {}, publish: async () => {} };
  app.use('/1', new ParseCliServer({ config, vendorAdapter }).app);
  tellTests(`${JSON.stringify({ url: `${origin}/1` })}\n`);
}

/** Its source has type annotations and ES modules, which esbuild turns into what Node runs. */
function load({ checkout, esbuild }, require) {
  const bundle = createRequire(path.join(esbuild, 'package.json'))('esbuild').buildSync({
    entryPoints: [path.join(checkout, 'src', 'ParseCliServer.js')],
    bundle: true,
    platform: 'node',
    format: 'cjs',
    loader: { '.js': 'ts' },
    external: ['parse-server/*', 'express', 'body-parser', 'fs-extra', 'chokidar'],
    write: false,
  });
  const unused = { 'fs-extra': {}, chokidar: {}, 'body-parser': require('express') };
  const made = { exports: {} };
  const resolve = (name) => unused[name] ?? (/^(parse-server|express)/.test(name) ? require(name) : module.require(name));
  new Function('module', 'exports', 'require', bundle.outputFiles[0].text)(made, made.exports, resolve);
  return made.exports.ParseCliServer;
}
