'use strict';

const { isObject } = require('./encoding.js');

/**
 * The JSON inside a card, read as strictly as the Python client reads it (ADR 17): an object that
 * no two readers understand differently. tests/vectors/cards.json holds both to it.
 */
const MAX_CONTAINERS = 8; // objects and lists, the outermost included: bounds the depth as well
/** The strings of a JSON text, the last of which may be cut off: what is left is its skeleton. */
const STRING = /"[^"\\]*(?:\\.[^"\\]*)*"?/gs;
/** Fractions, exponents, and what a double does not hold: readers differ in what they make of them. */
const INEXACT = /[0-9][.eE]|[0-9]{16}/;

/**
 * @param {Buffer} bytes
 * @returns {Record<string, any> | null} null if they are anything else
 */
function parseSnapshot(bytes) {
  let text;
  let value;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
    value = JSON.parse(text);
  } catch {
    return null;
  }
  const skeleton = text.replace(STRING, '');
  const occurrences = (character) => skeleton.split(character).length - 1;
  const exact =
    isObject(value) &&
    occurrences('{') + occurrences('[') <= MAX_CONTAINERS &&
    !INEXACT.test(skeleton) &&
    // JSON.parse takes the last of repeated members; each member has one colon in the text.
    occurrences(':') === countMembers(value);
  return exact ? value : null;
}

/** Called for shallow values alone. */
function countMembers(value) {
  if (typeof value !== 'object' || value === null) return 0;
  const inner = Object.values(value).reduce((sum, one) => sum + countMembers(one), 0);
  return inner + (Array.isArray(value) ? 0 : Object.keys(value).length);
}

module.exports = { parseSnapshot };
