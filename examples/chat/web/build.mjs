// Bundles the page into dist/. E3Kit is taken as it is published; it expects Node's `global`,
// `Buffer` and `process`, and its WebAssembly beside the page.
import { copyFile, cp, mkdir, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

import { build } from 'esbuild';

const here = path.dirname(fileURLToPath(import.meta.url));
const dist = path.join(here, 'dist');
const e3kit = path.dirname(createRequire(import.meta.url).resolve('@virgilsecurity/e3kit-browser/dist/browser.es.js'));

await rm(dist, { recursive: true, force: true });
await mkdir(dist);
await build({
  absWorkingDir: here,
  entryPoints: ['src/main.js'],
  outfile: path.join(dist, 'main.js'),
  bundle: true,
  minify: true,
  format: 'esm',
  target: 'es2022',
  define: { global: 'window' },
  inject: ['src/shims.js'],
  logLevel: 'warning',
});
for (const name of ['libfoundation.browser.wasm', 'libpythia.browser.wasm']) {
  await copyFile(path.join(e3kit, name), path.join(dist, name));
}
await cp(path.join(here, 'public'), dist, { recursive: true });
