// An IMAP server (RFC 3501, a subset) with IDLE (RFC 2177) as a session protocol, on the mailboxes of
// examples/mail.
//
// Every command is a call, in whichever worker is free. Between two of them, and while it idles, a session
// costs its slot and DATA_BYTES bytes; whoever changes its mailbox wakes it, from any worker.
import { mailboxName } from '../mail/mail-store.mjs';
import { CommandReader, SyntaxFault } from './command-reader.mjs';
import { frame, readAppend } from './framing.mjs';
import * as mailboxes from './mailbox-commands.mjs';
import * as messages from './message-commands.mjs';
import { bytesOf, flagBits, No, updatesText } from './replies.mjs';
import { DATA_BYTES, INPUT, MAX_TAG, PHASE, SessionState, STATES } from './session-state.mjs';

const CAPABILITIES = 'IMAP4rev1 IDLE LITERAL+ UNSELECT';
/** Seconds: RFC 9051, 5.4, asks for 30 minutes at least once somebody has logged in. */
const LOGIN_TIMEOUT = 120;
const IDLE_TIMEOUT = 1800;
const MAX_FAILURES = 20;
const LF = 10;
const CR = 13;

/**
 * @typedef {object} ImapOptions
 * @property {import('../mail/mail-store.mjs').MailStore} store
 * @property {(name: string, password: string, remoteAddress: string) => string | null} login the name by
 *   which the store knows this user; null: not with this password
 * @property {number} [maxMessageBytes] of an APPEND, 26,214,400
 */

/**
 * @param {ImapOptions} options
 * @returns {import('hybrid-mpm').SessionProtocol}
 */
export const imap = (options) => new Imap(options);

class Imap {
  idleTimeout = LOGIN_TIMEOUT;
  dataBytes = DATA_BYTES;
  states = STATES;

  #store;
  #login;
  #maxMessageBytes;
  /** By the phase from which on they may be given. */
  #commands = [
    {
      CAPABILITY: (command) => this.#capability(command),
      NOOP: ({ reader }) => nothing(reader),
      LOGOUT: (command) => this.#logout(command),
      LOGIN: (command) => this.#logIn(command),
    },
    {
      SELECT: mailboxes.select,
      EXAMINE: mailboxes.examine,
      CREATE: mailboxes.create,
      DELETE: mailboxes.cannot,
      RENAME: mailboxes.cannot,
      SUBSCRIBE: mailboxes.subscribe,
      UNSUBSCRIBE: mailboxes.subscribe,
      LIST: mailboxes.list,
      LSUB: mailboxes.lsub,
      STATUS: mailboxes.status,
      IDLE: (command) => this.#idle(command),
    },
    {
      CHECK: ({ reader }) => nothing(reader),
      CLOSE: (command) => this.#close(command, true),
      UNSELECT: (command) => this.#close(command, false),
      EXPUNGE: messages.expunge,
      SEARCH: messages.search,
      FETCH: messages.fetch,
      STORE: messages.store,
      COPY: messages.copy,
    },
  ];

  constructor({ store, login, maxMessageBytes = 25 * 1024 * 1024 }) {
    this.#store = store;
    this.#login = login;
    this.#maxMessageBytes = maxMessageBytes;
  }

  greeting(session) {
    session.state = STATES[PHASE.stranger];
    session.write(`* OK [CAPABILITY ${CAPABILITIES}] ready\r\n`);
  }

  receive(session, bytes) {
    const state = new SessionState(session.data);
    switch (state.input) {
      case INPUT.idle:
        return this.#endOfIdle(session, state, bytes);
      case INPUT.message:
        return this.#message(session, state, bytes);
      case INPUT.discardLiteral: {
        const length = Math.min(state.left, bytes.length);
        state.left -= length;
        if (state.left === 0) this.#expect(session, state, INPUT.discardLine);
        return length;
      }
      case INPUT.discardLine:
        return this.#discardLine(session, state, bytes);
      default:
        return this.#command(session, state, bytes);
    }
  }

  woken(session) {
    const state = new SessionState(session.data);
    if (state.input !== INPUT.idle || state.phase !== PHASE.selected) return;
    this.#tellUpdates(session, state, false);
  }

  /** Only where the connection buffer is smaller than a command may be. */
  tooLong(session) {
    this.#leave(session, '* BYE The command is too long');
  }

  timeout(session) {
    this.#leave(session, '* BYE Nothing was heard for too long');
  }

  stopping(session) {
    this.#leave(session, '* BYE The server stops; come again');
  }

  #leave(session, words) {
    const state = new SessionState(session.data);
    if (state.input === INPUT.idle) this.#store.unwatch(state.cell, session.id);
    if (state.input === INPUT.message) this.#store.spool.remove(state.name);
    session.write(`${words}\r\n`);
    session.end();
  }

  /** What the next bytes are, and what the status page says of it. */
  #expect(session, state, input) {
    state.input = input;
    const [append, idle] = [3, 4];
    if (input === INPUT.message) session.state = STATES[append];
    else session.state = STATES[input === INPUT.idle ? idle : state.phase];
  }

  #command(session, state, bytes) {
    let found = frame(bytes, state.continuations);
    // A client that does not wait for it has sent the literal already.
    while (found.kind === 'ask') {
      state.continuations++;
      session.write('+ go on\r\n');
      found = frame(bytes, state.continuations);
    }
    switch (found.kind) {
      case 'more':
        return 0;
      case 'bareEnd':
        session.write('* BYE A line ends with CR LF, and neither stands alone\r\n');
        session.end();
        return bytes.length;
      case 'tooLong':
        return this.#tooLong(session, state, bytes, found);
      case 'message':
        return this.#append(session, state, bytes, found);
      default:
        state.continuations = 0;
        return this.#run(session, state, bytes.latin1Slice(0, found.end - 2), found.end);
    }
  }

  #tooLong(session, state, bytes, { literal, end }) {
    state.continuations = 0;
    const tag = tagOf(bytes);
    if (literal >= 0) {
      state.left = literal;
      this.#expect(session, state, literal > 0 ? INPUT.discardLiteral : INPUT.discardLine);
    } else if (literal === -1) {
      state.behindCr = bytes[end - 1] === CR ? 1 : 0;
      this.#expect(session, state, INPUT.discardLine);
    }
    this.#say(session, state, `${tag} BAD The command is too long`);
    return end;
  }

  #discardLine(session, state, bytes) {
    const end = bytes.indexOf(LF);
    if (end < 0) {
      state.behindCr = bytes[bytes.length - 1] === CR ? 1 : 0;
      return bytes.length;
    }
    const behindCr = end > 0 ? bytes[end - 1] === CR : state.behindCr !== 0;
    if (!behindCr) {
      session.write('* BYE A line ends with CR LF, and neither stands alone\r\n');
      session.end();
      return bytes.length;
    }
    state.behindCr = 0;
    this.#expect(session, state, INPUT.command);
    return end + 1;
  }

  /** Runs a command that is all there. @returns {number | Promise<number>} `consumed` */
  #run(session, state, text, consumed) {
    const reader = new CommandReader(text);
    let tag = '*';
    let isUid = false;
    let name = '';
    const finish = (words) => {
      // IDLE has its OK later.
      if (words !== null) {
        // The numbers of these are the client's until they are over (RFC 3501, 7.4.1).
        const keepNumbers = !isUid && ['FETCH', 'STORE', 'SEARCH'].includes(name);
        this.#tellUpdates(session, state, keepNumbers);
        session.write(`${tag} OK ${words}\r\n`);
        if (name === 'LOGOUT') session.end();
      }
      if (state.input === INPUT.command) this.#expect(session, state, INPUT.command);
      return consumed;
    };
    const fail = (error) => {
      this.#fail(session, state, tag, error);
      return consumed;
    };
    try {
      tag = reader.tag();
      if (tag.length > MAX_TAG) throw new SyntaxFault(`A tag has at most ${MAX_TAG} characters`);
      reader.space();
      name = reader.atom().toUpperCase();
      if (name === 'UID') {
        reader.space();
        name = reader.atom().toUpperCase();
        isUid = true;
      }
      const own = session.id;
      const command = { session, state, reader, tag, isUid, own, store: this.#store };
      const words = this.#find(state, name, isUid)(command);
      return words instanceof Promise ? words.then(finish, fail) : finish(words);
    } catch (error) {
      return fail(error);
    }
  }

  #find(state, name, isUid) {
    const phase = this.#commands.findIndex((commands) => Object.hasOwn(commands, name));
    const takesUid = ['FETCH', 'STORE', 'SEARCH', 'COPY'].includes(name);
    if (phase < 0 || (isUid && !takesUid)) throw new SyntaxFault('Command not known');
    if (phase > state.phase) {
      throw new SyntaxFault(phase === PHASE.selected ? 'SELECT first' : 'LOGIN first');
    }
    if (name === 'LOGIN' && state.phase !== PHASE.stranger) throw new SyntaxFault('Done already');
    return this.#commands[phase][name];
  }

  #fail(session, state, tag, error) {
    if (error?.code === 'ERR_MPM_SESSION_OVER') return;
    if (error instanceof No) {
      this.#say(session, state, `${tag} NO ${error.message}`);
    } else if (error instanceof SyntaxFault) {
      this.#say(session, state, `${tag} BAD ${error.message}`);
    } else {
      console.error(`imap: ${error?.stack ?? error}`);
      const isFull = error?.code === 'ENOSPC' || error?.code === 'EDQUOT';
      const words = isFull ? '[OVERQUOTA] No room' : '[SERVERBUG] That went wrong here';
      this.#say(session, state, `${tag} NO ${words}`);
    }
    if (state.input === INPUT.command) this.#expect(session, state, INPUT.command);
  }

  /** A refusal; too many are enough. */
  #say(session, state, words) {
    session.write(bytesOf(`${words}\r\n`));
    if (++state.failures < MAX_FAILURES) return;
    session.write('* BYE Too many errors\r\n');
    session.end();
  }

  #tellUpdates(session, state, keepNumbers) {
    if (state.phase !== PHASE.selected) return;
    const mailbox = messages.selected({ state, store: this.#store });
    const text = updatesText(state, mailbox, keepNumbers);
    if (text !== '') session.write(text);
  }

  #capability({ session, reader }) {
    reader.end();
    session.write(`* CAPABILITY ${CAPABILITIES}\r\n`);
    return 'Told';
  }

  #logout({ session, reader }) {
    reader.end();
    session.write('* BYE Come again\r\n');
    return 'Good bye';
  }

  #logIn({ session, state, reader }) {
    reader.space();
    const name = reader.astring();
    reader.space();
    const password = reader.astring();
    reader.end();
    const user = this.#login(utf8(name), utf8(password), session.remoteAddress);
    if (user === null) throw new No('[AUTHENTICATIONFAILED] Not with this password');
    this.#store.inbox(user);
    state.user = user;
    state.origin = session.id >>> 0;
    state.phase = PHASE.authenticated;
    session.idleTimeout = IDLE_TIMEOUT;
    return `[CAPABILITY ${CAPABILITIES}] Welcome`;
  }

  #close(command, isExpunging) {
    const { state, reader } = command;
    reader.end();
    if (isExpunging && state.readOnly === 0) {
      messages.expungeDeleted(command, messages.selected(command), command.own);
    }
    state.phase = PHASE.authenticated;
    return 'Closed';
  }

  #idle({ session, state, reader, tag }) {
    reader.end();
    state.tag = tag;
    state.cell = -1;
    if (state.phase === PHASE.selected) {
      state.cell = this.#store.watch(state.user, state.mailbox, session.id);
      if (state.cell < 0) throw new No('[LIMIT] Too many idle; ask by NOOP');
    }
    this.#expect(session, state, INPUT.idle);
    session.write('+ idling\r\n');
    // After it watches: what comes from here on wakes it.
    this.#tellUpdates(session, state, false);
    return null;
  }

  #endOfIdle(session, state, bytes) {
    const end = bytes.indexOf(LF);
    if (end < 0 && bytes.length <= 'DONE\r\n'.length) return 0;
    const isDone = /^DONE\r\n/i.test(bytes.latin1Slice(0, end + 1));
    this.#store.unwatch(state.cell, session.id);
    if (!isDone) {
      session.write('* BYE DONE ends IDLE, and nothing else\r\n');
      session.end();
      return bytes.length;
    }
    this.#expect(session, state, INPUT.command);
    this.#tellUpdates(session, state, false);
    session.write(`${state.tag} OK Idled\r\n`);
    return end + 1;
  }

  /** An APPEND has come, up to its message. What it said is noted beside the message. */
  #append(session, state, bytes, { end, bytes: length, isAsked }) {
    state.continuations = 0;
    const line = bytes.latin1Slice(0, end - 2).replace(/\{\d+\+?\}$/, '');
    try {
      const { tag, mailbox, flags } = readAppend(new CommandReader(line));
      if (tag.length > MAX_TAG) throw new SyntaxFault(`A tag has at most ${MAX_TAG} characters`);
      if (state.phase === PHASE.stranger) throw new SyntaxFault('LOGIN first');
      flagBits(flags);
      if (length === 0 || length > this.#maxMessageBytes) {
        throw new No(`[TOOBIG] A message has 1 to ${this.#maxMessageBytes} bytes`);
      }
      const name = mailboxName(mailbox);
      if (name === null || this.#store.mailbox(state.user, name) === null) {
        throw new No('[TRYCREATE] No such mailbox');
      }
      state.tag = tag;
      state.name = this.#store.spool.begin(line);
      this.#store.spool.open(state.name, Buffer.alloc(0));
    } catch (error) {
      // A client that does not wait sends it all the same.
      if (!isAsked) {
        state.left = length;
        this.#expect(session, state, length > 0 ? INPUT.discardLiteral : INPUT.discardLine);
      }
      this.#fail(session, state, tagOf(bytes), error);
      return end;
    }
    state.left = length;
    this.#expect(session, state, INPUT.message);
    if (isAsked) session.write('+ go on\r\n');
    return end;
  }

  /** A piece of the message; then the end of APPEND's line. */
  #message(session, state, bytes) {
    const { spool } = this.#store;
    if (state.left > 0) {
      const length = Math.min(state.left, bytes.length);
      try {
        spool.append(state.name, bytes.subarray(0, length));
        state.left -= length;
        return length;
      } catch (error) {
        spool.remove(state.name);
        state.left -= length;
        this.#expect(session, state, state.left > 0 ? INPUT.discardLiteral : INPUT.discardLine);
        this.#fail(session, state, state.tag, error);
        return length;
      }
    }
    if (bytes.length < 2 && bytes[0] === CR) return 0;
    const { name, tag } = state;
    this.#expect(session, state, INPUT.command);
    try {
      const noted = readAppend(new CommandReader(spool.notes(name).join('\n')));
      if (bytes[0] !== CR || bytes[1] !== LF) {
        this.#expect(session, state, INPUT.discardLine);
        throw new SyntaxFault('One message at a time');
      }
      this.#add(session, state, name, noted);
      this.#tellUpdates(session, state, false);
      session.write(`${tag} OK Appended\r\n`);
    } catch (error) {
      this.#fail(session, state, tag, error);
    } finally {
      spool.remove(name);
    }
    return state.input === INPUT.command ? 2 : 0;
  }

  #add(session, state, name, { mailbox, flags, date }) {
    const { spool } = this.#store;
    const target = mailboxes.existing(this.#store, state.user, mailboxName(mailbox), 'TRYCREATE');
    const facts = { size: spool.finish(name), flags: flagBits(flags) };
    target.add(spool.pathOf(name), date === undefined ? facts : { ...facts, date });
    this.#store.changed(state.user, mailboxName(mailbox), session.id);
  }
}

function nothing(reader) {
  reader.end();
  return 'Done';
}

const utf8 = (latin1) => bytesOf(latin1).toString('utf8');
/** Of a command that was not understood. */
const tagOf = (bytes) =>
  /^(?:(?![(){%*"\\+])[!-~]){1,24}(?= )/.exec(bytes.subarray(0, 32).latin1Slice())?.[0] ?? '*';
