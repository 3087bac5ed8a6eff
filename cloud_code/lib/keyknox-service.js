'use strict';

const { ServiceError } = require('./errors.js');
const { decodeBase64 } = require('./encoding.js');
const { isIdentity } = require('./jwt.js');
const { EMPTY_HASH } = require('./keyknox-store.js');

const MAX_IDENTITIES = 500;
const MAX_NAME_CHARACTERS = 512;
const HASH_HEADER = 'Virgil-Keyknox-Hash';
const PREVIOUS_HASH_HEADER = 'virgil-keyknox-previous-hash';

/**
 * Keyknox v1 and v2 (services document, section 4) as a table of routes: an opaque store for what
 * clients encrypted, with optimistic locking by a hash in headers.
 *
 * @param {import('./keyknox-store.js').KeyknoxStore} store
 */
function keyknoxRoutes(store) {
  return [
    { method: 'GET', path: /^\/keyknox\/v1$/, handle: get },
    { method: 'PUT', path: /^\/keyknox\/v1$/, handle: put, writes: true },
    { method: 'POST', path: /^\/keyknox\/v1\/reset$/, handle: clear },
    { method: 'POST', path: /^\/keyknox\/v2\/push$/, handle: push, writes: true },
    { method: 'POST', path: /^\/keyknox\/v2\/pull$/, handle: pull },
    { method: 'POST', path: /^\/keyknox\/v2\/keys$/, handle: keys },
    { method: 'POST', path: /^\/keyknox\/v2\/reset$/, handle: reset },
  ];

  // --- v1: one record an identity -------------------------------------------------------------

  async function get({ identity }) {
    const record = await store.get({ owner: identity });
    const copy = record?.copies.get(identity) ?? { meta: '', value: '' };
    return answer({ ...copy, version: versionOf(record?.revision) }, record?.hash);
  }

  async function put({ identity, body, request }) {
    const record = await store.push({ owner: identity }, [identity], readCopy(body), previousHash(request));
    return answer({ ...record.copies.get(identity), version: versionOf(record.revision) }, record.hash);
  }

  async function clear({ identity }) {
    return answer({ meta: '', value: '', version: versionOf(await store.clear({ owner: identity })) }, EMPTY_HASH);
  }

  // --- v2: records with a copy for each recipient ---------------------------------------------

  async function push({ identity, body, request }) {
    const address = { owner: identity, ...readPlace(body, { whole: true }) };
    const listed = body.identities;
    const valid = Array.isArray(listed) && listed.length >= 1 && listed.length <= MAX_IDENTITIES && listed.every(isIdentity);
    if (!valid) throw new ServiceError('malformedRecord');
    const copy = readCopy(body);
    const record = await store.push(address, listed, copy, previousHash(request));
    return answer({ ...address, identities: [...record.copies.keys()], ...copy }, record.hash);
  }

  async function pull({ identity, body }) {
    const address = { owner: readOwner(body) ?? identity, ...readPlace(body, { whole: true }) };
    const record = await store.get(address);
    const copy = record?.copies.get(identity);
    // Absent and not for us look alike, and like a name that nobody has used yet.
    if (copy === undefined) return answer({ ...address, identities: [], meta: '', value: '' }, EMPTY_HASH);
    return answer({ ...address, identities: [...record.copies.keys()], ...copy }, record.hash);
  }

  async function keys({ identity, body }) {
    const owner = readOwner(body) ?? identity;
    const place = readPlace({ root: body.root, path: body.path });
    const found = await store.find({ owner, ...place }, owner === identity ? undefined : identity);
    const next = place.root === undefined ? 'root' : place.path === undefined ? 'path' : 'key';
    return { body: [...new Set(found.map((address) => address[next]))] };
  }

  async function reset({ identity, body }) {
    const place = readPlace(body);
    const recipient = readOwner(body);
    let hash = EMPTY_HASH;
    const found = await store.find({ owner: identity, ...place });
    for (const address of found) {
      if (recipient === undefined) await store.remove(address);
      else hash = await store.removeCopy(address, recipient);
    }
    const named = { owner: identity, root: '', path: '', key: '', ...place };
    return answer({ ...named, identities: [], meta: '', value: '' }, found.length === 1 ? hash : EMPTY_HASH);
  }
}

const answer = (body, hash = EMPTY_HASH) => ({ headers: { [HASH_HEADER]: hash }, body });

/** v1's version counts writes; a record that never was is at its first. */
const versionOf = (revision) => `${revision || 1}.0`;

const previousHash = (request) => request.headers[PREVIOUS_HASH_HEADER];

function readCopy({ meta, value }) {
  for (const part of [meta, value]) {
    if (part === '' || decodeBase64(part) === null) throw new ServiceError('malformedRecord');
  }
  return { meta, value };
}

/** The members of an address that *body* names; *whole* requires all of them. */
function readPlace({ root, path, key }, { whole = false } = {}) {
  const place = {};
  for (const [name, value] of Object.entries({ root, path, key })) {
    if ((value === undefined || value === null) && !whole) continue;
    if (!isName(value)) throw new ServiceError('malformedRecord');
    place[name] = value;
  }
  return place;
}

/** Any text without control characters: key names are the users' own words. */
const isName = (value) =>
  typeof value === 'string' && value.length >= 1 && value.length <= MAX_NAME_CHARACTERS &&
  !/[\u0000-\u001f\u007f]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/.test(value);

function readOwner({ identity }) {
  if (identity === undefined || identity === null) return undefined;
  if (!isIdentity(identity)) throw new ServiceError('malformedRecord');
  return identity;
}

module.exports = { keyknoxRoutes };
