// The page: forms, lists, and nothing secret. All text goes in as text, never as HTML.
import { Chat, configure, TAMPERED } from './chat.js';

const $ = (id) => document.getElementById(id);
const config = await (await fetch('/config.json')).json();
configure(config);

let chat = null;
let thread = null;
let shown = '';

function note(form, text, bad = false) {
  const place = form.querySelector('.note') ?? form.parentElement.querySelector('.note');
  place.textContent = text;
  place.classList.toggle('bad', bad);
}

/** Do something that takes time, with the form's buttons off and its errors in words. */
async function during(form, text, work) {
  const buttons = form.querySelectorAll('button');
  note(form, text);
  for (const button of buttons) button.disabled = true;
  try {
    await work();
    note(form, '');
  } catch (error) {
    note(form, error.message || String(error), true);
  } finally {
    for (const button of buttons) button.disabled = false;
  }
}

function showThreads(threads) {
  $('threads').replaceChildren(...threads.map((one) => {
    const item = document.createElement('li');
    const button = document.createElement('button');
    button.textContent = one.peerName;
    if (one.id === thread?.id) button.setAttribute('aria-current', 'true');
    button.addEventListener('click', () => openThread(one));
    item.append(button);
    return item;
  }));
}

function showMessages(messages) {
  const key = JSON.stringify(messages.map(({ id, text }) => [id, text === TAMPERED ? null : text]));
  if (key === shown) return;
  shown = key;
  $('messages').replaceChildren(...messages.map(({ mine, sentAt, text }) => {
    const item = document.createElement('li');
    item.classList.toggle('mine', mine);
    item.classList.toggle('tampered', text === TAMPERED);
    item.append(text === TAMPERED ? 'This message is not what was sent. It is not shown.' : text);
    const time = document.createElement('time');
    time.dateTime = sentAt.toISOString();
    time.textContent = sentAt.toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' });
    item.append(time);
    return item;
  }));
  $('messages').scrollTop = $('messages').scrollHeight;
}

let looking = null;
let lookAgain = false;

/** Look at the server again; calls that come meanwhile make one more look. */
function refresh() {
  lookAgain = true;
  looking ??= (async () => {
    while (lookAgain) {
      lookAgain = false;
      const open = thread;
      showThreads(await chat.threads());
      const messages = open ? await chat.messages(open) : [];
      if (open?.id === thread?.id) showMessages(messages);
    }
  })().finally(() => { looking = null; });
  return looking;
}

async function openThread(one) {
  thread = one;
  $('peer').textContent = one.peerName;
  $('conversation').classList.remove('empty');
  $('chat').classList.add('open');
  location.hash = one.id;
  await refresh();
  $('write').elements.text.focus();
}

function closeThread() {
  thread = null;
  shown = '';
  $('messages').replaceChildren();
  $('conversation').classList.add('empty');
  $('chat').classList.remove('open');
  history.replaceState(null, '', location.pathname);
}

async function enter(opened) {
  chat = opened;
  const wanted = location.hash.slice(1);
  closeThread();
  $('me').textContent = chat.name;
  $('welcome').hidden = true;
  $('chat').hidden = false;
  await refresh();
  const known = (await chat.threads()).find((one) => one.id === wanted);
  if (known) await openThread(known);
  await chat.watch(() => { refresh().catch(() => {}); });
}

$('account').addEventListener('submit', (event) => {
  event.preventDefault();
  const form = event.currentTarget;
  const { name, password } = Object.fromEntries(new FormData(form));
  const isNew = event.submitter?.value !== 'logIn';
  const text = isNew ? 'Making your keys, and a backup of them …' : 'Logging in …';
  during(form, text, async () => {
    await enter(await (isNew ? Chat.signUp : Chat.logIn)(config, name, password));
    form.reset();
  });
});

$('find').addEventListener('submit', (event) => {
  event.preventDefault();
  const form = event.currentTarget;
  during(form, '', async () => {
    await openThread(await chat.openThread(form.elements.name.value.trim()));
    form.reset();
  });
});

$('write').addEventListener('submit', (event) => {
  event.preventDefault();
  const field = event.currentTarget.elements.text;
  const text = field.value;
  field.value = '';
  chat.send(thread, text).then(refresh).catch((error) => {
    field.value = text; // nothing typed is lost
    field.setCustomValidity(error.message);
    field.reportValidity();
    field.addEventListener('input', () => field.setCustomValidity(''), { once: true });
  });
});

$('back').addEventListener('click', () => { closeThread(); refresh(); });
$('leave').addEventListener('click', async () => { await chat.logOut(); location.replace(location.pathname); });

const resumed = await Chat.resume(config);
if (resumed) await enter(resumed);
else $('welcome').hidden = false;
