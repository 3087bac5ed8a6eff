'use strict';

const { ServiceError } = require('./errors.js');
const { checkPublisher, countersign, isCardId, parseCard, toRaw } = require('./card.js');
const { isIdentity } = require('./jwt.js');

const MAX_SEARCH_IDENTITIES = 50;
const MAX_OUTDATED_IDS = 1000;

/**
 * Cards v5 (services document, section 3.2) as a table of routes. A handler gets the verified
 * identity, the path's parameter and the JSON body; it answers {status?, headers?, body}.
 *
 * @param {import('./card-store.js').CardStore} store
 * @param {import('./settings.js').Settings} settings
 */
function cardRoutes(store, settings) {
  return [
    { method: 'POST', path: /^\/card\/v5$/, handle: publish, writes: true },
    { method: 'POST', path: /^\/card\/v5\/actions\/search$/, handle: search },
    // Ours alone: no client of E3Kit asks it, so for them a deleted user has no card.
    { method: 'POST', path: /^\/card\/v5\/actions\/search-ended$/, handle: searchEnded },
    { method: 'POST', path: /^\/card\/v5\/actions\/outdated$/, handle: outdated },
    { method: 'POST', path: /^\/card\/v5\/actions\/revoke\/([^/]+)$/, handle: revoke },
    { method: 'GET', path: /^\/card\/v5\/([^/]+)$/, handle: get },
  ];

  async function publish({ identity, body, nowSeconds }) {
    const card = parseCard(body);
    checkPublisher(card, identity, nowSeconds);
    const published = await store.publish(countersign(card, settings.serviceKey));
    return { status: published.created ? 201 : 200, body: toRaw(published.card) };
  }

  async function search({ body }) {
    return { body: (await store.search(identitiesOf(body))).map(toRaw) };
  }

  async function searchEnded({ body }) {
    const { identities, cards } = await store.searchEnded(identitiesOf(body));
    return { body: { identities, cards: cards.map(toRaw) } };
  }

  function identitiesOf(body) {
    const wanted = Array.isArray(body.identities) ? body.identities : [body.identity];
    const identities = [...new Set(wanted)];
    if (wanted.length < 1 || wanted.length > MAX_SEARCH_IDENTITIES || !identities.every(isIdentity)) {
      throw new ServiceError('invalidSearch');
    }
    return identities;
  }

  async function get({ parameter }) {
    const found = isCardId(parameter) ? await store.get(parameter) : null;
    if (found === null) throw new ServiceError('cardNotFound');
    // The spelling is part of the contract, and so is its absence when false.
    const headers = found.outdated ? { 'X-Virgil-Is-Superseeded': 'true' } : {};
    return { headers, body: toRaw(found.card) };
  }

  async function revoke({ identity, parameter }) {
    const found = isCardId(parameter) ? await store.get(parameter) : null;
    if (found === null) throw new ServiceError('cardNotFound');
    if (found.card.identity !== identity) throw new ServiceError('foreignCard');
    await store.revoke(found.card);
    return { body: {} };
  }

  async function outdated({ body }) {
    const ids = body.card_ids;
    if (!Array.isArray(ids) || ids.length > MAX_OUTDATED_IDS || !ids.every(isCardId)) {
      throw new ServiceError('invalidOutdated');
    }
    return { body: ids.length === 0 ? [] : await store.outdated([...new Set(ids)]) };
  }
}

module.exports = { cardRoutes };
