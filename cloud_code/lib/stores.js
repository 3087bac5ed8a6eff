'use strict';

const { CardStore } = require('./card-store.js');
const { ForeignStore } = require('./foreign-store.js');
const { KeyknoxStore } = require('./keyknox-store.js');
const { ReportStore } = require('./report-store.js');
const { ThrottleStore } = require('./throttle-store.js');

const FIRST_RETRY_MILLISECONDS = 250;
const MAX_RETRY_MILLISECONDS = 60_000;

/** By Parse, its stores: functions, guard and routes of one process share them. */
const installed = new WeakMap();

/**
 * @typedef {object} Stores
 * @property {CardStore} cards
 * @property {KeyknoxStore} keyknox
 * @property {ReportStore} reports
 * @property {ThrottleStore} throttle
 * @property {ForeignStore} foreign
 * @property {import('./settings.js').Settings} settings what they were made with
 */

/**
 * The stores of a Parse app; made with *settings* by whoever has them first.
 *
 * @param {object} Parse the server's own
 * @param {import('./settings.js').Settings} [settings]
 * @returns {Stores}
 */
function storesOf(Parse, settings) {
  const present = installed.get(Parse);
  if (present !== undefined && (settings === undefined || isSame(settings, present.settings))) return present;
  if (settings === undefined) {
    throw new Error('encrypted_parse: call installCloudFunctions(Parse, settings) first');
  }
  const stores = Object.freeze({
    cards: new CardStore(Parse, settings),
    keyknox: new KeyknoxStore(Parse, settings),
    reports: new ReportStore(Parse, settings),
    throttle: new ThrottleStore(Parse, settings),
    foreign: new ForeignStore(Parse, settings),
    settings,
  });
  installed.set(Parse, stores);
  return stores;
}

/** Functions and routes may each read the same settings: as far as the stores go, they are. */
const isSame = (one, other) => one.rowKey.equals(other.rowKey) && one.keyknoxBytes === other.keyknoxBytes;

/** @param {Stores} stores @returns {import('./closed-class.js').ClosedClass[]} all that they write to */
const classesOf = ({ cards, keyknox, reports, throttle, foreign }) =>
  [foreign, cards, keyknox, reports, throttle].map((store) => store.rows);

/**
 * Make the storage now. It has to be there, and closed, before a client can make it: see ClosedClass.
 *
 * @param {object} Parse
 * @param {import('./settings.js').Settings} [settings]
 */
async function prepare(Parse, settings) {
  for (const rows of classesOf(storesOf(Parse, settings))) await rows.prepare();
}

/**
 * Make it in the background, from the start of the server on and until it is there: cloud code is
 * loaded before the server answers. Whoever needs the storage earlier waits for it, or sees why not.
 *
 * @param {object} Parse
 * @param {import('./settings.js').Settings} settings
 * @param {{log?: (message: string) => void}} [options]
 */
function prepareInBackground(Parse, settings, { log = console.error } = {}) {
  let wait = FIRST_RETRY_MILLISECONDS;
  let told = '';
  const attempt = async () => {
    try {
      await prepare(Parse, settings);
    } catch (error) {
      // At the start failing is usual, so it is told when it lasts; a message may quote no data.
      const text = `${error?.name ?? 'error'} ${error?.code ?? ''}`.trim();
      if (wait > 4 * FIRST_RETRY_MILLISECONDS && text !== told) {
        log(`encrypted_parse: the storage cannot be made: ${error?.name === 'ServiceError' ? error.message : text}`);
        told = text;
      }
      later(wait);
      wait = Math.min(2 * wait, MAX_RETRY_MILLISECONDS);
    }
  };
  const later = (milliseconds) => setTimeout(attempt, milliseconds).unref();
  later(0);
}

/**
 * Take what is not ours out of the companion's classes, and close them. Bounded: call it until nothing
 * was done.
 *
 * @param {object} Parse
 * @returns {Promise<Record<string, number>>} rows taken away or sealed, by class
 */
async function repair(Parse) {
  const stores = storesOf(Parse);
  const done = {};
  for (const rows of classesOf(stores)) {
    done[rows.name] = await rows.repair((row) => stores.foreign.keep(rows.name, row));
  }
  return done;
}

module.exports = { prepare, prepareInBackground, repair, storesOf };
