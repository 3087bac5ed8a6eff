// The entry point of cloud code as an ES module, for projects whose package.json says
// `"type": "module"`: `encrypted-parse cloud init` writes it there as main.js.
import { existsSync, readFileSync } from 'node:fs';

import companion from './lib/index.js';

companion.installCloudFunctions(Parse, companion.loadSettings(process.env));
// Some servers end if a user's row holds what cannot be encoded. In a beforeSave of your own, do this first.
Parse.Cloud.beforeSave('_User', companion.createEncodableCheck(Parse));

// Written by `encrypted-parse schema export`; without it no column is guarded.
const fields = new URL('./encrypted-fields.json', import.meta.url);
if (existsSync(fields)) companion.installGuard(Parse, JSON.parse(readFileSync(fields, 'utf8')));
