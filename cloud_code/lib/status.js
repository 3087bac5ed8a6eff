'use strict';

const { repair } = require('./stores.js');
const { version } = require('../package.json');

const OPERATION_FORBIDDEN = 119;

/** By Parse, what its guards enforce: class, column, mode of the rule `envelope`. */
const guarded = new WeakMap();

/**
 * Remember what a guard does, for the status.
 *
 * @param {object} Parse
 * @param {{classes: object, rules: object}} config
 */
function rememberGuard(Parse, { classes, rules }) {
  const known = guarded.get(Parse) ?? {};
  for (const [className, fields] of Object.entries(classes)) {
    known[className] = { ...known[className] };
    for (const field of Object.keys(fields)) known[className][field] = rules.envelope;
  }
  guarded.set(Parse, known);
}

/**
 * The cloud functions `encrypted-parse-status`, what an operator has to know of the companion, and
 * `encrypted-parse-repair`, which takes out of its classes what is not its own: for `encrypted-parse
 * cloud doctor`. For the master key alone; no secret is told to it either.
 *
 * @param {object} Parse the server's own
 * @param {import('./settings.js').Settings} settings
 */
function installStatus(Parse, settings) {
  const forMaster = (run) => async ({ master }) => {
    if (master !== true) throw new Parse.Error(OPERATION_FORBIDDEN, 'for the master key alone');
    return run();
  };
  Parse.Cloud.define('encrypted-parse-status', forMaster(() => ({
    version,
    node: process.versions.node,
    now: new Date().toISOString(),
    brainKey: settings.brainKeySecret !== null,
    servicePublicKey: settings.servicePublicKey.export({ type: 'spki', format: 'der' }).toString('base64'),
    guarded: guarded.get(Parse) ?? {},
  })));
  Parse.Cloud.define('encrypted-parse-repair', forMaster(async () => ({ repaired: await repair(Parse) })));
}

module.exports = { installStatus, rememberGuard };
