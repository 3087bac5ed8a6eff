// The chat without a page: Parse for accounts and rows, E3Kit for everything secret.
import { EThree } from '@virgilsecurity/e3kit-browser/dist/browser.es.js';
import Parse from 'parse';

const WASM = { foundationWasmPath: '/libfoundation.browser.wasm', pythiaWasmPath: '/libpythia.browser.wasm' };
const PAGE = 1000;
export const TAMPERED = Symbol('this message is not what its author sent');

/** Tell Parse's SDK where the server is. */
export function configure({ applicationId, javascriptKey, serverUrl, liveQueryUrl }) {
  Parse.initialize(applicationId, javascriptKey);
  Parse.serverURL = serverUrl;
  Parse.liveQueryServerURL = liveQueryUrl;
}

/** One user, logged in, with keys on this device. */
export class Chat {
  #ethree;
  #cards = new Map();

  constructor(user, ethree) {
    this.id = user.id;
    this.name = user.get('username');
    this.#ethree = ethree;
  }

  /**
   * Make an account. The server gets one half of what is derived from the password, for logging
   * in; the other half, which it never sees, encrypts the backup of the private key.
   */
  static async signUp(config, name, password) {
    const { login, backup } = await derive(password);
    const user = new Parse.User({ username: name, password: login });
    await user.signUp();
    const acl = new Parse.ACL(user);
    acl.setPublicReadAccess(true); // others find the user by name; nothing else is in the row
    user.setACL(acl);
    await user.save();
    const ethree = await open(config);
    await ethree.register();
    await ethree.backupPrivateKey(backup);
    return new Chat(user, ethree);
  }

  /** Log in; on a device without the private key, restore it from the backup. */
  static async logIn(config, name, password) {
    const { login, backup } = await derive(password);
    const user = await Parse.User.logIn(name, login);
    const ethree = await open(config);
    if (!(await ethree.hasLocalPrivateKey())) {
      try {
        await ethree.restorePrivateKey(backup);
      } catch (error) {
        if (error.name !== 'PrivateKeyNoBackupError') throw error;
        await ethree.register(); // signing up was interrupted before there were keys
        await ethree.backupPrivateKey(backup);
      }
    }
    return new Chat(user, ethree);
  }

  /** The user who was logged in when the page was left; null if there is none. */
  static async resume(config) {
    const user = Parse.User.current();
    if (!user) return null;
    try {
      await user.fetch();
      const ethree = await open(config);
      if (await ethree.hasLocalPrivateKey()) return new Chat(user, ethree);
    } catch (error) {
      if (error.code !== Parse.Error.INVALID_SESSION_TOKEN) throw error;
    }
    await Parse.User.logOut().catch(() => {});
    return null;
  }

  /** Leave this device: its private key goes too, and comes back from the backup. */
  async logOut() {
    await this.#ethree.cleanup();
    await Parse.User.logOut();
  }

  /** The user's conversations, the newest first: `{id, peerId, peerName}`. */
  async threads() {
    const rows = await new Parse.Query('ChatThread').descending('createdAt').limit(PAGE).find();
    return rows.map((row) => this.#thread(row));
  }

  /** The conversation with a user, made if there is none yet. */
  async openThread(peerName) {
    const known = (await this.threads()).find((thread) => thread.peerName === peerName);
    if (known) return known;
    const peer = await new Parse.Query(Parse.User).equalTo('username', peerName).first();
    if (!peer || peer.id === this.id) throw new Error(`There is nobody called ${peerName}.`);
    await this.#cardOf(peer.id);
    const row = new Parse.Object('ChatThread', { memberIds: [this.id, peer.id], memberNames: [this.name, peerName] });
    row.setACL(this.#acl(peer.id));
    return this.#thread(await row.save());
  }

  /** All messages of a conversation, the oldest first. */
  async messages(thread) {
    const rows = await new Parse.Query('Message')
      .equalTo('thread', pointerTo(thread))
      .ascending('createdAt').limit(PAGE).find();
    return Promise.all(rows.map((row) => this.#open(row)));
  }

  /** Encrypt for both members, sign, save. */
  async send(thread, text) {
    const body = await this.#ethree.authEncrypt(text, await this.#cardOf(thread.peerId));
    const row = new Parse.Object('Message', {
      thread: pointerTo(thread),
      senderId: this.id,
      body,
    });
    row.setACL(this.#acl(thread.peerId));
    return this.#open(await row.save());
  }

  /** Call `changed` when there is something new. Events may be lost, so it should look, not trust. */
  async watch(changed) {
    for (const name of ['ChatThread', 'Message']) {
      const subscription = await new Parse.Query(name).subscribe();
      for (const event of ['open', 'create', 'update']) subscription.on(event, changed);
    }
  }

  #thread(row) {
    const at = row.get('memberIds').findIndex((id) => id !== this.id);
    return { id: row.id, peerId: row.get('memberIds')[at], peerName: row.get('memberNames')[at] };
  }

  #acl(peerId) {
    const acl = new Parse.ACL(Parse.User.current());
    acl.setReadAccess(peerId, true);
    return acl;
  }

  async #open(row) {
    const senderId = row.get('senderId');
    const message = { id: row.id, mine: senderId === this.id, sentAt: row.createdAt };
    try {
      return { ...message, text: await this.#ethree.authDecrypt(row.get('body'), await this.#cardOf(senderId)) };
    } catch {
      return { ...message, text: TAMPERED };
    }
  }

  #cardOf(userId) {
    if (!this.#cards.has(userId)) {
      const card = this.#ethree.findUsers(userId);
      card.catch(() => this.#cards.delete(userId));
      this.#cards.set(userId, card);
    }
    return this.#cards.get(userId);
  }
}

function pointerTo(thread) {
  return { __type: 'Pointer', className: 'ChatThread', objectId: thread.id };
}

function open({ directoryUrl }) {
  const getToken = async () => (await Parse.Cloud.run('virgil-jwt')).token;
  return EThree.initialize(getToken, { apiUrl: directoryUrl, ...WASM });
}

async function derive(password) {
  const { loginPassword, backupPassword } = await EThree.derivePasswords(password, WASM);
  return { login: loginPassword.toString('base64'), backup: backupPassword.toString('base64') };
}
