// The npm package `virgil-crypto` behind line-delimited JSON: one question a line on stdin, one
// answer a line on stdout, bytes as base64. Ends when stdin ends.

import { closeSync, fsyncSync, openSync, readSync, statSync, writeSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { createRequire } from 'node:module';

const { initCrypto, KeyPairType, VirgilCrypto } = createRequire(import.meta.url)('virgil-crypto');

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

const privateKeyOf = (key) => shortIds.importPrivateKey(bytes(key));
const publicKeysOf = (keys) => keys.map((key) => shortIds.importPublicKey(bytes(key)));

// A stream class over `data`, fed `chunk` bytes at a time.
const streamed = (stream, data, chunk, ...startArguments) => {
  const parts = stream.start ? [stream.start(...startArguments)] : [];
  for (let place = 0; place < data.length; place += chunk) {
    parts.push(stream.update(data.subarray(place, place + chunk)));
  }
  parts.push(stream.final(false));
  return Buffer.concat(parts.filter(Boolean));
};

// A stream class from file to file, in slices as E3Kit's; the file is on disk when it returns.
const SLICE = 65536;
const fileToFile = (stream, source, target, ...startArguments) => {
  const input = openSync(source, 'r');
  const output = openSync(target, 'w', 0o600);
  const write = (part) => {
    if (part && part.length) writeSync(output, part);
  };
  if (stream.start) write(stream.start(...startArguments));
  const slice = Buffer.alloc(SLICE);
  for (let count = readSync(input, slice); count > 0; count = readSync(input, slice)) {
    write(stream.update(slice.subarray(0, count)));
  }
  write(stream.final(false));
  fsyncSync(output);
  closeSync(input);
  closeSync(output);
};

const operations = {
  generate_keys: ({ type }) => {
    const { privateKey, publicKey } = shortIds.generateKeys(type && KeyPairType[type]);
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
  decrypt: ({ message, identity }) => text(shortIds.decrypt(bytes(message), privateKeyOf(identity))),
  sign_then_encrypt_detached: ({ data, signer, recipients }) => {
    const parts = shortIds.signThenEncryptDetached(
      bytes(data),
      privateKeyOf(signer),
      publicKeysOf(recipients),
    );
    return { metadata: text(parts.metadata), encrypted_data: text(parts.encryptedData) };
  },
  decrypt_then_verify_detached: ({ encrypted_data: data, metadata, identity, signers }) =>
    text(
      shortIds.decryptThenVerifyDetached(
        bytes(data),
        bytes(metadata),
        privateKeyOf(identity),
        publicKeysOf(signers),
      ),
    ),
  stream_encrypt: ({ data, signature, recipients, chunk }) => {
    const stream = shortIds.createStreamCipher(
      publicKeysOf(recipients),
      signature && bytes(signature),
    );
    return text(streamed(stream, bytes(data), chunk));
  },
  stream_decrypt: ({ message, identity, chunk, signed }) => {
    const stream = shortIds.createStreamDecipher(privateKeyOf(identity));
    const data = streamed(stream, bytes(message), chunk);
    return { data: text(data), signature: signed ? text(stream.getSignature()) : null };
  },
  stream_sign_and_encrypt: ({ data, signer, recipients, padding, chunk }) => {
    const plaintext = bytes(data);
    const stream = shortIds.createStreamSignAndEncrypt(
      privateKeyOf(signer),
      publicKeysOf(recipients),
      padding,
    );
    return text(streamed(stream, plaintext, chunk, plaintext.length));
  },
  stream_decrypt_and_verify: ({ message, identity, signers, chunk }) => {
    const stream = shortIds.createStreamDecryptAndVerify();
    const data = streamed(stream, bytes(message), chunk, privateKeyOf(identity));
    stream.verify(publicKeysOf(signers));
    return text(data);
  },
  stream_sign: ({ data, signer, chunk }) => {
    const stream = shortIds.createStreamSigner();
    const plaintext = bytes(data);
    for (let place = 0; place < plaintext.length; place += chunk) {
      stream.update(plaintext.subarray(place, place + chunk));
    }
    return text(stream.sign(privateKeyOf(signer)));
  },
  group_create: ({ group_id: id, epochs }) => {
    const session = shortIds.generateGroupSession(bytes(id));
    for (let epoch = 0; epoch < epochs; epoch += 1) session.addNewEpoch();
    return { id: session.getSessionId(), tickets: session.export().map(text) };
  },
  group_session_id: ({ group_id: id }) => shortIds.calculateGroupSessionId(bytes(id)),
  group_encrypt: ({ tickets, data, signer }) =>
    text(shortIds.importGroupSession(tickets.map(bytes)).encrypt(bytes(data), privateKeyOf(signer))),
  group_decrypt: ({ tickets, message, signer }) =>
    text(
      shortIds
        .importGroupSession(tickets.map(bytes))
        .decrypt(bytes(message), shortIds.importPublicKey(bytes(signer))),
    ),
  import_private_key: ({ key }) => text(shortIds.exportPrivateKey(privateKeyOf(key))),
  import_public_key: ({ key }) =>
    text(shortIds.exportPublicKey(shortIds.importPublicKey(bytes(key)))),
  time_encrypt_file: ({ source, target, signer, recipients }) => {
    const stream = shortIds.createStreamSignAndEncrypt(
      privateKeyOf(signer),
      publicKeysOf(recipients),
      true,
    );
    return timed(1, () => fileToFile(stream, source, target, statSync(source).size));
  },
  time_decrypt_file: ({ source, target, identity, signers }) => {
    const stream = shortIds.createStreamDecryptAndVerify();
    return timed(1, () => {
      fileToFile(stream, source, target, privateKeyOf(identity));
      stream.verify(publicKeysOf(signers));
    });
  },
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
