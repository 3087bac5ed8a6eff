'use strict';

const companion = require('./lib/index.js');

companion.installCloudFunctions(Parse, companion.loadSettings(process.env));
