// Unmodified E3Kit for Node behind line-delimited JSON: one question a line on stdin, one answer a
// line on stdout. A "device" is one user's E3Kit with its own folder. Ends when stdin ends.
'use strict';

const { readFileSync } = require('node:fs');
const path = require('node:path');
const { createInterface } = require('node:readline');

// Its WebAssembly is loaded through fetch, which takes no paths: E3Kit's own options take data URLs.
const asDataUrl = (name) => {
  const bytes = readFileSync(require.resolve(name));
  return `data:application/wasm;base64,${bytes.toString('base64')}`;
};
const foundationWasmPath = asDataUrl('@virgilsecurity/core-foundation/libfoundation.wasm');
const pythiaWasmPath = asDataUrl('@virgilsecurity/core-pythia/libpythia.wasm');

const { EThree } = require('@virgilsecurity/e3kit-node');

const devices = new Map();
const groups = new Map();

const on = (name) => {
  if (!devices.has(name)) throw new Error(`no device ${name}`);
  return devices.get(name);
};
const bytes = (text) => Buffer.from(text, 'base64');
const cards = async (ethree, ids) => (ids.length === 0 ? undefined : ethree.findUsers(ids));
const card = async (ethree, id) => (id === undefined || id === null ? undefined : ethree.findUsers(id));
const groupOf = (device, id) => groups.get(`${device}/${id}`);

const operations = {
  /** getToken asks the cloud function with the session, as an app does. */
  async open({ device, folder, api_url: apiUrl, parse_url: parseUrl, headers }) {
    const getToken = async () => {
      const answer = await fetch(`${parseUrl}/functions/virgil-jwt`, {
        method: 'POST', headers: { ...headers, 'Content-Type': 'application/json' }, body: '{}',
      });
      return (await answer.json()).result.token;
    };
    const ethree = await EThree.initialize(getToken, {
      apiUrl, foundationWasmPath, pythiaWasmPath,
      storageName: path.join(folder, 'keys'), groupStorageName: path.join(folder, 'groups'),
    });
    devices.set(device, ethree);
    return ethree.identity;
  },
  register: ({ device }) => on(device).register(),
  unregister: ({ device }) => on(device).unregister(),
  rotate: ({ device }) => on(device).rotatePrivateKey(),
  cleanup: ({ device }) => on(device).cleanup(),
  has_key: ({ device }) => on(device).hasLocalPrivateKey(),
  async private_key({ device }) {
    const ethree = on(device);
    const entry = await ethree.keyEntryStorage.load(ethree.identity);
    return entry.value.toString('base64');
  },
  async find({ device, ids }) {
    const found = await on(device).findUsers(ids);
    return Object.fromEntries(Object.entries(found).map(([id, { id: cardId }]) => [id, cardId]));
  },
  encrypt: async ({ device, text, to }) => on(device).encrypt(text, await cards(on(device), to)),
  decrypt: async ({ device, text, from, at }) =>
    on(device).decrypt(text, await card(on(device), from), at ? new Date(at) : undefined),
  auth_encrypt: async ({ device, text, to }) => on(device).authEncrypt(text, await cards(on(device), to)),
  auth_decrypt: async ({ device, text, from }) => on(device).authDecrypt(text, await card(on(device), from)),
  async auth_decrypt_bytes({ device, data, from }) {
    return (await on(device).authDecrypt(bytes(data), await card(on(device), from))).toString('base64');
  },
  async derive_passwords({ password }) {
    const derived = await EThree.derivePasswords(password, { foundationWasmPath });
    return [derived.loginPassword, derived.backupPassword].map((half) => half.toString('base64'));
  },
  backup: ({ device, password, name }) => on(device).backupPrivateKey(password, name),
  restore: ({ device, password, name }) => on(device).restorePrivateKey(password, name),
  change_password: ({ device, old, password, name }) => on(device).changePassword(old, password, name),
  reset_backup: ({ device, name }) =>
    name ? on(device).resetPrivateKeyBackupWithKeyName(name) : on(device).resetPrivateKeyBackup(),
  async create_group({ device, group, members }) {
    groups.set(`${device}/${group}`, await on(device).createGroup(group, await cards(on(device), members)));
  },
  async load_group({ device, group, initiator }) {
    groups.set(`${device}/${group}`, await on(device).loadGroup(group, await card(on(device), initiator)));
  },
  add: async ({ device, group, member }) => groupOf(device, group).add(await card(on(device), member)),
  remove: async ({ device, group, member }) => groupOf(device, group).remove(await card(on(device), member)),
  re_add: async ({ device, group, member }) => groupOf(device, group).reAdd(await card(on(device), member)),
  update: ({ device, group }) => groupOf(device, group).update(),
  delete_group: ({ device, group }) => on(device).deleteGroup(group),
  participants: ({ device, group }) => groupOf(device, group).participants,
  group_encrypt: ({ device, group, text }) => groupOf(device, group).encrypt(text),
  group_decrypt: async ({ device, group, text, from, at }) =>
    groupOf(device, group).decrypt(text, await card(on(device), from), at ? new Date(at) : undefined),
};

(async () => {
  for await (const line of createInterface({ input: process.stdin })) {
    const { operation, ...question } = JSON.parse(line);
    let answer;
    try {
      answer = { result: (await operations[operation](question)) ?? null };
    } catch (error) {
      // Several copies of its parts make its classes unreliable; the names are not.
      answer = { error: `${error.name}: ${error.message}` };
    }
    process.stdout.write(`${JSON.stringify(answer)}\n`);
  }
  process.exit(0); // its databases keep the process alive
})();
