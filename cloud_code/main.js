'use strict';

// The entry point of cloud code: on Back4App `cloud/main.js`, elsewhere the server's option `cloud`.
const { existsSync } = require('node:fs');
const path = require('node:path');

const companion = require('./lib/index.js');

companion.installCloudFunctions(Parse, companion.loadSettings(process.env));

// Written by `encrypted-parse schema export`; without it no column is guarded.
const fields = path.join(__dirname, 'encrypted-fields.json');
if (existsSync(fields)) companion.installGuard(Parse, require(fields));
