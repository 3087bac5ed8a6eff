'use strict';

const { createPublicKey } = require('node:crypto');
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
 * The cloud function `encrypted-parse-status`: what an operator has to know of the companion, for
 * `encrypted-parse cloud doctor`. For the master key alone; no secret is told to it either.
 *
 * @param {object} Parse the server's own
 * @param {import('./settings.js').Settings} settings
 */
function installStatus(Parse, settings) {
  Parse.Cloud.define('encrypted-parse-status', async ({ master }) => {
    if (master !== true) throw new Parse.Error(OPERATION_FORBIDDEN, 'for the master key alone');
    const servicePublicKey = createPublicKey(settings.serviceKey).export({ type: 'spki', format: 'der' });
    return {
      version,
      node: process.versions.node,
      now: new Date().toISOString(),
      brainKey: settings.brainKeySecret !== null,
      servicePublicKey: servicePublicKey.toString('base64'),
      guarded: guarded.get(Parse) ?? {},
    };
  });
}

module.exports = { installStatus, rememberGuard };
