'use strict';

const { isObject } = require('./encoding.js');

/**
 * Whether Parse Server can write an object down: it does so beside every trigger (for its log, whatever
 * the trigger answers) and for LiveQuery, where nothing catches what the encoding throws. One request
 * with an invalid date, and without a session, ends the process; so does one that nests too deep.
 *
 * A trigger of ours therefore looks first. What cannot be encoded is refused, and the object gets an
 * encoding that cannot fail, since a refusal is logged with the object too.
 */
const INCORRECT_TYPE = 111;
const MAX_DEPTH = 100; // MongoDB's own bound; the server's recursions end somewhere above 2,000
const ENCODINGS = Object.freeze(['toJSON', '_getSaveJSON']); // for the log and LiveQuery; for what is stored

/**
 * Make a check for the begin of an app's own `beforeSave`, of any class.
 *
 *     const refuseUnencodable = companion.createEncodableCheck(Parse);
 *     Parse.Cloud.beforeSave('Post', async (request) => {
 *       refuseUnencodable(request);
 *       // the app's own checks
 *     });
 *
 * @param {object} Parse
 * @returns {(request: object) => void} throws a Parse.Error with the code 111 (incorrect type)
 */
function createEncodableCheck(Parse) {
  return ({ object }) => {
    if (isEncodable(object)) return;
    mute(object);
    throw new Parse.Error(INCORRECT_TYPE,
      `${object.className}: a date is invalid, a pointer or a file is incomplete, or it nests too deep`);
  };
}

/**
 * The same for every class at once, where the app owns the HTTP server: a handler before Parse's, on
 * parsed bodies. Classes without a trigger of ours, and `_Session`, which allows none, are then
 * covered too.
 *
 *     const json = express.json({ type: (request) => !request.originalUrl.startsWith('/parse/files/'), limit: '20mb' });
 *     app.use('/parse', json, companion.refuseUnencodableBodies, parseServer.app);
 *
 * @param {import('express').Request} request
 * @param {import('express').Response} response
 * @param {() => void} next
 */
function refuseUnencodableBodies(request, response, next) {
  if (isComplete(request.body)) {
    next();
    return;
  }
  const error = 'a date is invalid, a pointer or a file is incomplete, or it nests too deep';
  response.status(400).json({ code: INCORRECT_TYPE, error });
}

/** Give an object that cannot be encoded an encoding that cannot fail. */
function mute(object) {
  for (const name of ENCODINGS) {
    Object.defineProperty(object, name, { value: () => ({}), configurable: true });
  }
}

function isEncodable(object) {
  try {
    return ENCODINGS.every((name) => isComplete(object[name]()));
  } catch {
    return false; // of any class: the SDK's own, or a RangeError of the stack
  }
}

/** Whether every typed value in some JSON can be decoded and encoded again; in a loop, not recursion. */
function isComplete(json) {
  const rest = [[json, 0]];
  while (rest.length > 0) {
    const [value, depth] = rest.pop();
    if (typeof value !== 'object' || value === null) continue;
    if (depth > MAX_DEPTH || (isObject(value) && !isWhole(value))) return false;
    for (const inner of Object.values(value)) rest.push([inner, depth + 1]);
  }
  return true;
}

const isText = (value) => typeof value === 'string' && value !== '';

function isWhole({ __type: type, iso, className, objectId, name, url }) {
  if (type === 'Date') return isText(iso) && !Number.isNaN(new Date(iso).getTime());
  if (type === 'Pointer' || type === 'Object') return isText(className) && isText(objectId);
  if (type === 'File') return isText(name) && isText(url);
  return true;
}

module.exports = { createEncodableCheck, refuseUnencodableBodies };
