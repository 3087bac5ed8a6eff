'use strict';

const { decodeBase64 } = require('./encoding.js');

/**
 * The header of an E3Kit message, read without a key (wire format, section 4): enough to tell
 * whether a value is an envelope, of which form, and for which key identifiers. Strict DER, bounded.
 * It says nothing of whether the envelope can be opened: only a recipient's key can.
 */
const WHITE_SPACE = /[\t\n\v\f\r ]+/g;
const MAX_TEXT_CHARACTERS = 32 * 1024 * 1024;
const MAX_HEADER_BYTES = 1024 * 1024;
const MAX_RECIPIENTS = 1024;
const MAX_PARAMS = 64;
const MAX_DATA_BYTES = 2 ** 32 - 1;
const TAG_BYTES = 16;
const NONCE_BYTES = 12;
const MIN_FOOTER_BYTES = 113; // section 5.3: one Ed25519 signer, and the footer's tag

const INTEGER = 0x02, OCTETS = 0x04, OID = 0x06, UTF8 = 0x0c, SEQUENCE = 0x30, SET = 0x31;
const CONTEXT = (number) => 0xa0 + number;

const oid = (hex) => Buffer.from(hex, 'hex');
const DATA = oid('2a864886f70d010701');
const ENVELOPED_DATA = oid('2a864886f70d010703');
const AES256_GCM = oid('60864801650304012e');
const HKDF_SHA512 = oid('2a864886f70d010910031e');
const RANDOM_PADDING = oid('2b0601040183ac1b0103');
const DIGESTS = ['01', '02', '03', '04'].map((arc) => oid(`6086480165030402${arc}`)); // SHA-2
const OLD_SIGNATURE = Buffer.from('VIRGIL-DATA-SIGNATURE');

const UTF8_DECODER = new TextDecoder('utf-8', { fatal: true });

class Malformed extends Error {}

/** Reads DER elements one after the other. */
class Reader {
  #bytes;
  #at = 0;

  constructor(bytes) {
    this.#bytes = bytes;
  }

  get done() {
    return this.#at === this.#bytes.length;
  }

  /** Where the next element begins. */
  get at() {
    return this.#at;
  }

  peek() {
    return this.#bytes[this.#at];
  }

  /** The content of the next element, which must have this tag. */
  take(tag) {
    const bytes = this.#bytes;
    if (bytes[this.#at] !== tag || this.#at + 2 > bytes.length) throw new Malformed('tag');
    let length = bytes[this.#at + 1];
    let start = this.#at + 2;
    if (length >= 0x80) {
      const octets = length - 0x80;
      if (octets < 1 || octets > 4 || start + octets > bytes.length) throw new Malformed('length');
      length = bytes.readUIntBE(start, octets);
      if (length < (octets === 1 ? 0x80 : 2 ** (8 * (octets - 1)))) throw new Malformed('not minimal');
      start += octets;
    }
    if (length > bytes.length - start) throw new Malformed('cut off');
    this.#at = start + length;
    return bytes.subarray(start, start + length);
  }

  into(tag) {
    return new Reader(this.take(tag));
  }

  /** The next element whatever it is; returns its tag. */
  skip() {
    const tag = this.peek();
    if (tag === undefined || (tag & 0x1f) === 0x1f) throw new Malformed('tag');
    this.take(tag);
    return tag;
  }

  integer() {
    const bytes = this.take(INTEGER);
    const minimal = bytes.length > 0 && !(bytes.length > 1 && bytes[0] === 0 && bytes[1] < 0x80);
    if (!minimal || bytes[0] >= 0x80 || bytes.length > 6) throw new Malformed('integer');
    return bytes.readUIntBE(0, bytes.length);
  }

  expectInteger(value) {
    if (this.integer() !== value) throw new Malformed('version');
  }

  /** Well-formed text; what it says does not matter here. */
  text() {
    const bytes = this.take(UTF8);
    try {
      UTF8_DECODER.decode(bytes);
    } catch {
      throw new Malformed('text');
    }
    return bytes;
  }

  /** A well-formed object identifier. */
  oid() {
    const bytes = this.take(OID);
    let starts = true; // of an arc, whose first octet must not be padding
    for (const octet of bytes) {
      if (starts && octet === 0x80) throw new Malformed('identifier');
      starts = octet < 0x80;
    }
    if (bytes.length === 0 || !starts) throw new Malformed('identifier');
    return bytes;
  }

  expectOid(...known) {
    const bytes = this.take(OID);
    if (!known.some((candidate) => candidate.equals(bytes))) throw new Malformed('algorithm');
  }

  end() {
    if (!this.done) throw new Malformed('trailing');
  }
}

/**
 * @typedef {object} Envelope
 * @property {'authEncrypt' | 'encrypt' | 'plain'} form the E3Kit call that writes it
 * @property {string[]} recipients key identifiers in hexadecimal, 8 or 32 bytes
 */

/**
 * @param {unknown} text what an encrypted column holds
 * @returns {Envelope | null} null if it is not an envelope
 */
function parseEnvelope(text) {
  if (typeof text !== 'string' || text.length > MAX_TEXT_CHARACTERS) return null;
  const encoded = text.replace(WHITE_SPACE, ''); // lines, as many encoders write them and E3Kit reads them
  if (encoded[0] !== 'M') return null;
  const message = decodeBase64(encoded);
  if (message === null) return null;
  try {
    return parseMessage(message);
  } catch (error) {
    if (error instanceof Malformed) return null;
    throw error;
  }
}

/** Whether two envelopes differ in their headers alone, as after one was given to more readers. */
function isSameContent(one, other) {
  const content = (text) => {
    const message = decodeBase64(text);
    const outer = new Reader(message);
    outer.take(SEQUENCE);
    return message.subarray(outer.at);
  };
  return content(one).equals(content(other));
}

function parseMessage(message) {
  const outer = new Reader(message);
  const header = outer.into(SEQUENCE);
  const length = outer.at;
  if (length > MAX_HEADER_BYTES) throw new Malformed('too long');
  const version = header.integer();
  const recipients = readContentInfo(header.into(SEQUENCE));
  const signedOldForm = header.peek() === CONTEXT(0) && readParams(header.into(CONTEXT(0)));
  const derives = header.peek() === CONTEXT(1) && readBare(header.into(CONTEXT(1)), HKDF_SHA512);
  const dataSize = header.peek() === CONTEXT(2) ? readFooterInfo(header.into(CONTEXT(2))) : null;
  const padded = header.peek() === CONTEXT(3) && readBare(header.into(CONTEXT(3)), RANDOM_PADDING);
  header.end();
  if (dataSize !== null && !derives) throw new Malformed('footer without keys');
  const expected = padded ? 3 : dataSize !== null ? 2 : derives ? 1 : 0;
  if (version !== expected) throw new Malformed('version');
  // A body, and of the signed form a footer, have to be there, if only their tags.
  const rest = message.length - length;
  if (rest < (dataSize === null ? TAG_BYTES : dataSize + TAG_BYTES + MIN_FOOTER_BYTES)) throw new Malformed('cut off');
  return { form: dataSize !== null ? 'authEncrypt' : signedOldForm ? 'encrypt' : 'plain', recipients };
}

function readContentInfo(info) {
  info.expectOid(ENVELOPED_DATA);
  const tagged = info.into(CONTEXT(0));
  info.end();
  const enveloped = tagged.into(SEQUENCE);
  tagged.end();
  enveloped.expectInteger(2);
  const recipients = readRecipients(enveloped.into(SET));
  const content = enveloped.into(SEQUENCE);
  enveloped.end();
  content.expectOid(DATA);
  const cipher = content.into(SEQUENCE);
  content.end();
  cipher.expectOid(AES256_GCM);
  readNonce(cipher);
  cipher.end();
  return recipients;
}

/** The nonce bare, or in a SEQUENCE with its length. */
function readNonce(cipher) {
  const long = cipher.peek() === SEQUENCE ? cipher.into(SEQUENCE) : null;
  const nonce = (long ?? cipher).take(OCTETS);
  if (nonce.length !== NONCE_BYTES) throw new Malformed('nonce');
  if (long !== null) {
    long.expectInteger(nonce.length);
    long.end();
  }
}

function readRecipients(set) {
  const ids = [];
  for (let entries = 0; !set.done; entries += 1) {
    if (entries >= MAX_RECIPIENTS) throw new Malformed('too many recipients');
    if (set.peek() !== SEQUENCE) {
      set.skip(); // password recipients and the like carry a context tag
      continue;
    }
    const entry = set.into(SEQUENCE);
    entry.expectInteger(2);
    const tagged = entry.into(CONTEXT(0));
    const id = tagged.take(OCTETS);
    tagged.end();
    const algorithm = entry.into(SEQUENCE);
    algorithm.oid(); // of any kind of key, with any parameters
    while (!algorithm.done) algorithm.skip();
    entry.take(OCTETS);
    entry.end();
    ids.push(id.toString('hex'));
  }
  return ids;
}

/** Whether the old form's signature is among the custom parameters. */
function readParams(tagged) {
  const set = tagged.into(SET);
  tagged.end();
  let found = false;
  for (let entries = 0; !set.done; entries += 1) {
    if (entries >= MAX_PARAMS) throw new Malformed('too many parameters');
    const entry = set.into(SEQUENCE);
    found = entry.text().equals(OLD_SIGNATURE) || found;
    const kinds = { [CONTEXT(0)]: INTEGER, [CONTEXT(1)]: UTF8, [CONTEXT(2)]: OCTETS };
    const kind = kinds[entry.peek()];
    if (kind === undefined) throw new Malformed('parameter');
    const value = entry.into(entry.peek());
    if (kind === UTF8) value.text();
    else value.take(kind);
    value.end();
    entry.end();
  }
  return found;
}

function readBare(tagged, algorithm) {
  const identifier = tagged.into(SEQUENCE);
  tagged.end();
  identifier.expectOid(algorithm);
  identifier.end();
  return true;
}

function readFooterInfo(tagged) {
  const footer = tagged.into(SEQUENCE);
  tagged.end();
  footer.expectInteger(0);
  const dataSize = footer.integer();
  if (dataSize > MAX_DATA_BYTES) throw new Malformed('size');
  const signedTag = footer.into(CONTEXT(0));
  footer.end();
  const signed = signedTag.into(SEQUENCE);
  signedTag.end();
  signed.expectInteger(0);
  const digest = signed.into(SEQUENCE);
  signed.end();
  digest.expectOid(...DIGESTS);
  if (!digest.done && digest.take(0x05).length !== 0) throw new Malformed('parameters');
  digest.end();
  return dataSize;
}

module.exports = { MAX_RECIPIENTS, isSameContent, parseEnvelope };
