'use strict';

/**
 * Strict base64: only the canonical form of some bytes is that base64.
 *
 * @param {unknown} text
 * @param {'base64' | 'base64url'} [alphabet]
 * @returns {Buffer | null} null if *text* is anything else
 */
function decodeBase64(text, alphabet = 'base64') {
  if (typeof text !== 'string') return null;
  const bytes = Buffer.from(text, alphabet);
  return bytes.toString(alphabet) === text ? bytes : null;
}

/**
 * @param {Buffer} bytes
 * @returns {Record<string, any> | null} null unless *bytes* are the UTF-8 of one JSON object
 */
function parseJsonObject(bytes) {
  let value;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch {
    return null;
  }
  return isObject(value) ? value : null;
}

/** @param {unknown} value @returns {value is Record<string, any>} */
function isObject(value) {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

module.exports = { decodeBase64, isObject, parseJsonObject };
