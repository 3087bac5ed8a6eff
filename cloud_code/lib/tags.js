'use strict';

const { createHash } = require('node:crypto');

const TAG = /^[A-Za-z0-9_-]{22}$/;
const POINTERS = Object.freeze(['Object', 'Pointer']);

/**
 * The tag of what a column holds: encrypted_parse/models/tags.py makes the same of what it has read.
 *
 * @param {string} column
 * @param {unknown} value as Parse's JSON has it
 */
function tagOf(column, value) {
  return createHash('sha256').update(textOf(column, value)).digest('base64url').slice(0, 22);
}

function textOf(column, value) {
  if (value === undefined || value === null) return '';
  if (typeof value === 'string') return value;
  return JSON.stringify(column === 'ACL' ? granted(value) : plain(value));
}

/** An ACL without what it does not grant, in the order of its names. */
function granted(acl) {
  const entries = Object.entries(acl).sort(byName).map(([who, access]) =>
    [who, Object.fromEntries(Object.entries(access).filter(([, yes]) => yes === true).sort(byName))]);
  return Object.fromEntries(entries.filter(([, access]) => Object.keys(access).length > 0));
}

/** JSON with sorted keys, and an object in a pointer's place as the pointer that is stored. */
function plain(value) {
  if (Array.isArray(value)) return value.map(plain);
  if (value === null || typeof value !== 'object') return value;
  if (POINTERS.includes(value.__type)) {
    return { __type: 'Pointer', className: value.className, objectId: value.objectId };
  }
  return Object.fromEntries(Object.entries(value).sort(byName).map(([key, one]) => [key, plain(one)]));
}

const byName = ([left], [right]) => (left < right ? -1 : 1);

module.exports = { TAG, tagOf };
