'use strict';

const { createPrivateKey, createPublicKey, hkdfSync } = require('node:crypto');
const { decodeBase64 } = require('./encoding.js');

const MIN_SECRET_BYTES = 32;
const ROW_KEY_BYTES = 32;
const ROW_KEY_LABEL = 'encrypted_parse companion rows v1';
const DEFAULT_KEYKNOX_BYTES = 8 * 1024 * 1024;

/** Every variable that has to be set, with what it is; both go into the message if one is missing. */
const VARIABLES = Object.freeze({
  VIRGIL_APP_ID: 'the application id that tokens are issued for',
  VIRGIL_APP_KEY_ID: 'the id of the API key that signs tokens',
  VIRGIL_APP_KEY: 'the API key: base64 of an Ed25519 PKCS#8 key',
  VIRGIL_SERVICE_KEY: 'the key that signs published cards: base64 of an Ed25519 PKCS#8 key',
});

/**
 * The companion's secrets. They stay in private fields: neither console.log nor JSON.stringify
 * shows them.
 */
class Settings {
  #apiKey;
  #serviceKey;
  #brainKeySecret;
  #rowKey;

  /**
   * @param {{appId: string, apiKeyId: string, keyknoxBytes: number,
   *          apiKey: import('node:crypto').KeyObject, serviceKey: import('node:crypto').KeyObject,
   *          brainKeySecret: Buffer | null, findUsers: boolean}} parts
   */
  constructor({ appId, apiKeyId, apiKey, serviceKey, brainKeySecret, keyknoxBytes, findUsers }) {
    this.appId = appId;
    this.apiKeyId = apiKeyId;
    this.#apiKey = apiKey;
    this.#serviceKey = serviceKey;
    this.#brainKeySecret = brainKeySecret;
    /** What verifies the tokens that `apiKey` signs. */
    this.apiPublicKey = createPublicKey(apiKey);
    /** What verifies the cards that `serviceKey` signed. */
    this.servicePublicKey = createPublicKey(serviceKey);
    /** How much one identity may keep in Keyknox. */
    this.keyknoxBytes = keyknoxBytes;
    /** Whether everybody who is logged in finds users by their exact names: see find-users.js. */
    this.findUsers = findUsers;
    const secret = serviceKey.export({ type: 'pkcs8', format: 'der' });
    this.#rowKey = Buffer.from(hkdfSync('sha256', secret, '', ROW_KEY_LABEL, ROW_KEY_BYTES));
    Object.freeze(this);
  }

  get apiKey() {
    return this.#apiKey;
  }

  get serviceKey() {
    return this.#serviceKey;
  }

  /** What seals the rows of our classes: see ClosedClass. */
  get rowKey() {
    return this.#rowKey;
  }

  /** null if backups by password are switched off. */
  get brainKeySecret() {
    return this.#brainKeySecret;
  }
}

/**
 * Read the settings from environment variables.
 *
 * @param {Record<string, string | undefined>} env
 * @returns {Settings}
 * @throws {Error} a variable is missing or malformed; names it, never its value
 */
function loadSettings(env) {
  const missing = Object.keys(VARIABLES).filter((name) => !env[name]);
  if (missing.length > 0) {
    const lines = missing.map((name) => `  ${name}: ${VARIABLES[name]}`);
    throw new Error(
      `encrypted_parse: set these environment variables and start again:\n${lines.join('\n')}`
    );
  }
  return new Settings({
    appId: readName(env, 'VIRGIL_APP_ID'),
    apiKeyId: readName(env, 'VIRGIL_APP_KEY_ID'),
    apiKey: readKey(env, 'VIRGIL_APP_KEY'),
    serviceKey: readKey(env, 'VIRGIL_SERVICE_KEY'),
    brainKeySecret: readSecret(env, 'VIRGIL_BRAINKEY_SECRET'),
    keyknoxBytes: readBytes(env, 'VIRGIL_KEYKNOX_BYTES', DEFAULT_KEYKNOX_BYTES),
    findUsers: readFindUsers(env, 'ENCRYPTED_PARSE_FIND_USERS'),
  });
}

function readName(env, name) {
  if (!/^[\x21-\x7e]{1,128}$/.test(env[name])) {
    throw new Error(`encrypted_parse: ${name} is not printable ASCII of 1 to 128 characters`);
  }
  return env[name];
}

function readKey(env, name) {
  const der = decodeBase64(env[name].trim());
  try {
    const key = createPrivateKey({ key: der, format: 'der', type: 'pkcs8' });
    if (key.asymmetricKeyType === 'ed25519') return key;
  } catch {
    // Said below, without the cause, which may quote the value.
  }
  throw new Error(`encrypted_parse: ${name} is not the base64 of an Ed25519 PKCS#8 key`);
}

/** An optional secret: base64 of 32 random bytes or more. */
function readSecret(env, name) {
  if (!env[name]) return null;
  const secret = decodeBase64(env[name].trim());
  if (secret !== null && secret.length >= MIN_SECRET_BYTES) return secret;
  throw new Error(`encrypted_parse: ${name} is not the base64 of at least ${MIN_SECRET_BYTES} random bytes`);
}

/** An optional number of bytes. */
function readBytes(env, name, byDefault) {
  if (!env[name]) return byDefault;
  if (/^[1-9][0-9]{0,11}$/.test(env[name].trim())) return Number(env[name]);
  throw new Error(`encrypted_parse: ${name} is not a number of bytes`);
}

/** Whether users are found by their exact names; a value that says something else is no guess. */
function readFindUsers(env, name) {
  const value = env[name]?.trim() ?? '';
  if (value === '' || value === 'exact') return value === 'exact';
  throw new Error(`encrypted_parse: ${name} is "exact", or not set`);
}

module.exports = { Settings, VARIABLES, loadSettings };
