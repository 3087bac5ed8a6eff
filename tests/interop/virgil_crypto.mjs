// The npm package `virgil-crypto` behind line-delimited JSON: one question a line on stdin, one
// answer a line on stdout, bytes as base64. Ends when stdin ends.

import { createInterface } from 'node:readline';
import { createRequire } from 'node:module';

const { initCrypto, VirgilCrypto } = createRequire(import.meta.url)('virgil-crypto');

await initCrypto();
const shortIds = new VirgilCrypto();
const longIds = new VirgilCrypto({ useSha256Identifiers: true });

const bytes = (text) => Buffer.from(text, 'base64');
const text = (data) => Buffer.from(data).toString('base64');

const write = (method) => ({ data, signer, recipients, padding, long_ids: long }) => {
  const crypto = long ? longIds : shortIds;
  const publicKeys = recipients.map((key) => crypto.importPublicKey(bytes(key)));
  return text(
    crypto[method](bytes(data), crypto.importPrivateKey(bytes(signer)), publicKeys, padding),
  );
};

const read = (method) => ({ message, identity, signers, long_ids: long }) => {
  const crypto = long ? longIds : shortIds;
  const publicKeys = signers.map((key) => crypto.importPublicKey(bytes(key)));
  return text(crypto[method](bytes(message), crypto.importPrivateKey(bytes(identity)), publicKeys));
};

// Milliseconds of each of `rounds` calls; keys are imported before the clock starts.
const timed = (rounds, call) => {
  const times = [];
  for (let round = 0; round < rounds; round += 1) {
    const start = process.hrtime.bigint();
    call();
    times.push(Number(process.hrtime.bigint() - start) / 1e6);
  }
  return times;
};

const operations = {
  generate_keys: () => {
    const { privateKey, publicKey } = shortIds.generateKeys();
    return {
      private: text(shortIds.exportPrivateKey(privateKey)),
      public: text(shortIds.exportPublicKey(publicKey)),
    };
  },
  key_ids: ({ key }) => ({
    short: text(shortIds.importPublicKey(bytes(key)).identifier),
    long: text(longIds.importPublicKey(bytes(key)).identifier),
  }),
  extract_public_key: ({ key }) =>
    text(shortIds.exportPublicKey(shortIds.extractPublicKey(shortIds.importPrivateKey(bytes(key))))),
  sign: ({ data, signer }) =>
    text(shortIds.calculateSignature(bytes(data), shortIds.importPrivateKey(bytes(signer)))),
  verify: ({ data, signature, signer }) =>
    shortIds.verifySignature(bytes(data), bytes(signature), shortIds.importPublicKey(bytes(signer))),
  encrypt: ({ data, recipients, padding }) =>
    text(
      shortIds.encrypt(
        bytes(data),
        recipients.map((key) => shortIds.importPublicKey(bytes(key))),
        padding,
      ),
    ),
  sign_and_encrypt: write('signAndEncrypt'),
  sign_then_encrypt: write('signThenEncrypt'),
  decrypt_and_verify: read('decryptAndVerify'),
  decrypt_then_verify: read('decryptThenVerify'),
  time_sign_and_encrypt: ({ data, signer, recipients, rounds }) => {
    const plaintext = bytes(data);
    const privateKey = shortIds.importPrivateKey(bytes(signer));
    const publicKeys = recipients.map((key) => shortIds.importPublicKey(bytes(key)));
    return timed(rounds, () => shortIds.signAndEncrypt(plaintext, privateKey, publicKeys, true));
  },
  time_decrypt_and_verify: ({ message, identity, signers, rounds }) => {
    const envelope = bytes(message);
    const privateKey = shortIds.importPrivateKey(bytes(identity));
    const publicKeys = signers.map((key) => shortIds.importPublicKey(bytes(key)));
    return timed(rounds, () => shortIds.decryptAndVerify(envelope, privateKey, publicKeys));
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const { operation, ...question } = JSON.parse(line);
  let answer;
  try {
    answer = { result: operations[operation](question) };
  } catch (error) {
    const reason = error.status ?? error.message;
    answer = { error: `${error.name}: ${reason}` };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
