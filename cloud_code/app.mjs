// Custom routes on Back4App as an ES module, written as app.js where main.mjs is written as main.js.
import companion from './lib/index.js';

app.use('/virgil', companion.virgilHandler(Parse, companion.loadSettings(process.env)));
