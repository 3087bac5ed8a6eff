'use strict';

// Custom routes on Back4App (`cloud/app.js`): `app` is its Express application, a global, served on
// the hosting subdomain. VIRGIL_API_URL is then https://NAME.b4a.app/virgil.
const companion = require('./lib/index.js');

app.use('/virgil', companion.virgilHandler(Parse, companion.loadSettings(process.env)));
