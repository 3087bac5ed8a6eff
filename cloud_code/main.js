'use strict';

// The entry point of cloud code: on Back4App `cloud/main.js`, elsewhere the server's option `cloud`.
const { existsSync } = require('node:fs');
const path = require('node:path');

const companion = require('./lib/index.js');

companion.installCloudFunctions(Parse, companion.loadSettings(process.env));
// Some servers end if a user's row holds what cannot be encoded. In a beforeSave of your own, do this first.
Parse.Cloud.beforeSave('_User', companion.createEncodableCheck(Parse));

// Written by `encrypted-parse schema export`; without it no column is guarded.
const fields = path.join(__dirname, 'encrypted-fields.json');
if (existsSync(fields)) companion.installGuard(Parse, require(fields));
