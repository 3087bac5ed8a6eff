'use strict';

/** By Parse, the columns of each guarded class that the guard compares for writers with If-Match. */
const compared = new WeakMap();

/**
 * Remember what a guard compares, for clients to ask.
 *
 * @param {object} Parse
 * @param {Record<string, Set<string>>} columns by class
 */
function rememberCompared(Parse, columns) {
  const known = compared.get(Parse) ?? {};
  for (const [className, names] of Object.entries(columns)) {
    known[className] = new Set([...(known[className] ?? []), ...names]);
  }
  compared.set(Parse, known);
}

/**
 * Define the cloud function `encrypted-parse-features`: what this companion can, for any client to ask
 * once. It reads nothing, and tells no more than what a guard's refusals do.
 *
 * @param {object} Parse
 */
function installFeatures(Parse) {
  Parse.Cloud.define('encrypted-parse-features', () => {
    const guarded = Object.entries(compared.get(Parse) ?? {}).map(([name, columns]) => [name, [...columns].sort()]);
    return { ifMatch: guarded.length > 0, guarded: Object.fromEntries(guarded) };
  });
}

module.exports = { installFeatures, rememberCompared };
