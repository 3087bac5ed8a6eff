'use strict';

const { ServiceError } = require('./errors.js');
const { isObject } = require('./encoding.js');
const { verifyToken } = require('./jwt.js');

const MAX_BODY_BYTES = 1024 * 1024; // section 8
const MAX_DISCARDED_BYTES = 16 * MAX_BODY_BYTES;
const CORS = Object.freeze({
  'Access-Control-Allow-Origin': '*',
  'Access-Control-Allow-Methods': 'GET, POST, PUT',
  'Access-Control-Allow-Headers': 'Authorization, Content-Type, Virgil-Agent, Virgil-Keyknox-Previous-Hash',
  'Access-Control-Expose-Headers': 'X-Virgil-Is-Superseeded, Virgil-Keyknox-Hash',
  'Access-Control-Max-Age': '86400',
});

/**
 * An Express handler over a table of routes; Express itself is not needed to build it. It reads
 * its own bodies and answers its own errors: a framework's error page is HTML, which hides every
 * error from E3Kit (services document, section 1).
 *
 * @param {{method: string, path: RegExp, handle: Function, writes?: boolean}[]} routes *writes*: not for an
 *   identity whose user was deleted
 * @param {import('./settings.js').Settings} settings
 * @param {object} options
 * @param {(identity: string) => Promise<boolean>} options.hasEnded whether its user was deleted:
 *   tokens outlive users
 * @param {() => number} [options.now]
 * @param {(message: string) => void} [options.log]
 */
function createHandler(routes, settings, { hasEnded, now = Date.now, log = console.error }) {
  return async function virgil(request, response) {
    let answer;
    try {
      answer = await respond(request);
    } catch (error) {
      answer = toAnswer(error);
    }
    send(response, answer, request);
  };

  async function respond(request) {
    if (request.method === 'OPTIONS') return { status: 204, body: null };
    const path = request.url.split('?', 1)[0].replace(/\/{2,}/g, '/').replace(/(?!^)\/$/, '');
    const matching = routes.filter((route) => route.path.test(path));
    if (matching.length === 0) throw new ServiceError('unknownRoute');
    const identity = authenticate(request, settings, Math.floor(now() / 1000));
    const method = request.method === 'HEAD' ? 'GET' : request.method;
    const route = matching.find((candidate) => candidate.method === method);
    if (route === undefined) throw new ServiceError('methodNotAllowed');
    const body = method === 'GET' ? {} : await readBody(request);
    const parameter = route.path.exec(path)[1];
    if (route.writes && (await hasEnded(identity))) throw new ServiceError('endedIdentity');
    return route.handle({ identity, parameter, body, request, nowSeconds: Math.floor(now() / 1000) });
  }

  function toAnswer(error) {
    if (!(error instanceof ServiceError)) {
      // The message of a foreign error may quote data; its class and code may not.
      log(`encrypted_parse: the service failed: ${error?.name ?? 'error'} ${error?.code ?? ''}`.trim());
      error = new ServiceError('internal');
    }
    return { status: error.status, body: { code: error.code, message: error.message } };
  }
}

function authenticate(request, settings, nowSeconds) {
  const match = /^Virgil +(\S+)$/i.exec(request.headers.authorization ?? '');
  if (match === null) throw new ServiceError('noToken');
  return verifyToken(settings, match[1], nowSeconds);
}

/** The JSON object in the body; an empty body is {}. */
async function readBody(request) {
  if (isObject(request.body) && !Buffer.isBuffer(request.body)) return request.body; // parsed by the host's own middleware
  const text = Buffer.isBuffer(request.body) ? request.body.toString('utf8')
    : typeof request.body === 'string' ? request.body : await readText(request);
  if (text.trim() === '' || /^application\/x-www-form-urlencoded/i.test(request.headers['content-type'] ?? '')) return {};
  let value;
  try {
    value = JSON.parse(text);
  } catch {
    throw new ServiceError('bodyNotJson');
  }
  if (!isObject(value)) throw new ServiceError('bodyNotJson');
  return value;
}

async function readText(request) {
  const pieces = [];
  let size = 0;
  for await (const piece of request) {
    size += piece.length;
    // What is a little too long is read to its end: a client that is still sending when the
    // connection closes never sees the answer.
    if (size > MAX_DISCARDED_BYTES) throw new ServiceError('bodyTooLarge');
    if (size <= MAX_BODY_BYTES) pieces.push(piece);
  }
  if (size > MAX_BODY_BYTES) throw new ServiceError('bodyTooLarge');
  return Buffer.concat(pieces).toString('utf8');
}

function send(response, { status = 200, headers = {}, body }, request) {
  if (response.headersSent || response.destroyed) return;
  const text = body === null ? '' : JSON.stringify(body);
  response.statusCode = status;
  for (const [name, value] of Object.entries({ ...CORS, 'Cache-Control': 'no-store', ...headers })) {
    response.setHeader(name, value);
  }
  if (status === 413) response.setHeader('Connection', 'close'); // there may be more to come
  if (body !== null) response.setHeader('Content-Type', 'application/json; charset=utf-8');
  response.end(request.method === 'HEAD' ? '' : text);
}

module.exports = { MAX_BODY_BYTES, createHandler };
