// An SMTP receiver (RFC 5321) as a session protocol: it takes mails and hands each to a function.
//
// With PIPELINING (RFC 2920), SIZE (RFC 1870), 8BITMIME (RFC 6152), SMTPUTF8 (RFC 6531) and
// ENHANCEDSTATUSCODES (RFC 2034). It relays nothing and knows no one: neither AUTH nor STARTTLS.
//
// Every command is a call, in whichever worker is free; between two of them the connection costs its slot
// and DATA_BYTES bytes. So is every piece of a mail: it goes to a file, and the worker is free again.
import { hostname as systemName } from 'node:os';
import { AT, decode, FAULT } from './data-decoder.mjs';
import { isAscii, isHello, parsePath } from './grammar.mjs';
import { DATA_BYTES, DISCARD, MAX_HELLO, PHASE, SessionState, STATES } from './session-state.mjs';

/** Octets of a command with its end: RFC 5321, 4.5.3.1.4, and what the extensions add to MAIL. */
const MAX_COMMAND_BYTES = 1024;
/** Of a mail's line, with its end: RFC 5321, 4.5.3.1.6. */
const MAX_LINE_BYTES = 1000;
const MAX_ERRORS = 20;
/** Seconds: RFC 5321, 4.5.3.2.7 and 4.5.3.2.5. */
const COMMAND_TIMEOUT = 300;
const DATA_TIMEOUT = 180;
/** A mail that is too large is read to its end, so that the client hears why; but not without end. */
const TOO_LARGE_READ_FACTOR = 2;

const UNKNOWN = '500 5.5.2 Command not known';

const LF = 10;
const CR = 13;

/** What a client of another protocol says first: a browser that was talked into it (as Postfix does). */
const FOREIGN = /^(?:GET|POST|PUT|HEAD|CONNECT|OPTIONS|HOST:|CONTENT-)/i;

/** Thrown by `sender`, `recipient` and `deliver`: the client gets these words. */
export class Refusal extends Error {
  /**
   * @param {number} code 4xx: it may try again; 5xx: it shall not (RFC 5321, 4.2.1)
   * @param {string} status `class.subject.detail` (RFC 3463), of the same class
   * @param {string} text one line of ASCII
   */
  constructor(code, status, text) {
    super(text);
    if (!(code >= 400 && code <= 599) || status[0] !== String(code)[0] || /[^ -~]/.test(text)) {
      throw new RangeError(`no refusal: ${code} ${status} ${JSON.stringify(text)}`);
    }
    this.code = code;
    this.status = status;
  }
}

/**
 * @typedef {object} Mail
 * @property {string} name its name in the spool, and its id for the client
 * @property {string} from '' for the null path
 * @property {string[]} recipients as the client wrote them, at least one
 * @property {number} size bytes that the client sent, without what was put in front
 * @property {string} hello what the client called itself
 * @property {string} remoteAddress
 * @property {boolean} utf8 its header or its addresses may have UTF-8
 *
 * @typedef {object} SmtpOptions
 * @property {import('../mail/spool.mjs').Spool} spool where mails come in
 * @property {(mail: Mail) => void | Promise<void>} deliver a mail has come, whole and on the disk as
 *   `spool.pathOf(mail.name)`, with Return-Path and Received in front; afterwards the file goes. Once this
 *   returns the mail is the server's (RFC 5321, 6.1). It may throw a Refusal; anything else is a 451.
 * @property {(address: string) => void} recipient throws a Refusal for whom there is no mailbox
 * @property {(address: string, remoteAddress: string) => void} [sender] throws a Refusal
 * @property {string} [hostname]
 * @property {number} [maxMessageBytes] 26,214,400
 * @property {number} [maxRecipients] of one mail, 100 (RFC 5321, 4.5.3.1.8: no fewer)
 */

/**
 * @param {SmtpOptions} options
 * @returns {import('hybrid-mpm').SessionProtocol}
 */
export const smtp = (options) => new Smtp(options);

class Smtp {
  idleTimeout = COMMAND_TIMEOUT;
  dataBytes = DATA_BYTES;
  states = STATES;

  #spool;
  #deliver;
  #recipient;
  #sender;
  #hostname;
  #maxMessageBytes;
  #maxRecipients;
  #commands = {
    HELO: this.#hello,
    EHLO: this.#hello,
    MAIL: this.#mail,
    RCPT: this.#rcpt,
    DATA: this.#data,
    RSET: this.#rset,
    NOOP: () => '250 2.0.0 OK',
    VRFY: this.#vrfy,
    HELP: () =>
      '214 2.0.0 Commands: HELO EHLO MAIL RCPT DATA RSET NOOP VRFY HELP QUIT (see RFC 5321)',
    QUIT: this.#quit,
    EXPN: () => '502 5.5.1 Lists are not told',
  };

  constructor(options) {
    this.#spool = options.spool;
    this.#deliver = options.deliver;
    this.#recipient = options.recipient;
    this.#sender = options.sender ?? (() => {});
    this.#hostname = options.hostname ?? systemName();
    this.#maxMessageBytes = options.maxMessageBytes ?? 25 * 1024 * 1024;
    this.#maxRecipients = options.maxRecipients ?? 100;
  }

  greeting(session) {
    session.state = STATES[PHASE.connected];
    session.write(`220 ${this.#hostname} ESMTP\r\n`);
  }

  receive(session, bytes) {
    const state = new SessionState(session.data);
    if (state.phase === PHASE.data) return this.#content(session, state, bytes);
    const line = this.#line(session, state, bytes);
    if (line.text !== undefined) {
      const isMore = line.consumed < bytes.length;
      const command = { session, state, isLast: false, verb: '', rest: '' };
      session.write(`${this.#command(command, line.text, isMore)}\r\n`);
      if (command.isLast) session.end();
    }
    session.state = STATES[state.phase];
    return line.consumed;
  }

  /** Only where the connection buffer is smaller than a command may be. */
  tooLong(session) {
    this.#leave(session, '500 5.5.2 Line too long');
  }

  timeout(session) {
    this.#leave(session, '421 4.4.2 Nothing was heard for too long');
  }

  stopping(session) {
    this.#leave(session, '421 4.3.2 The server stops; try again');
  }

  #leave(session, reply) {
    this.#forget(new SessionState(session.data));
    session.write(`${reply}\r\n`);
    session.end();
  }

  /** A command's line without its end; no text: there is none yet, or it was refused. */
  #line(session, state, bytes) {
    const end = bytes.indexOf(LF);
    if (state.discard !== DISCARD.no) return this.#discard(session, state, bytes, end);
    if (end < 0 && bytes.length <= MAX_COMMAND_BYTES) return { consumed: 0 };
    if (end < 0 || end >= MAX_COMMAND_BYTES) {
      state.discard = DISCARD.yes;
      return this.#discard(session, state, bytes, end);
    }
    // A line that others may take for two, or for none, is nobody's command.
    if (end === 0 || bytes.indexOf(CR) !== end - 1) return this.#bareEnd(session, bytes);
    return { consumed: end + 1, text: bytes.utf8Slice(0, end - 1) };
  }

  #bareEnd(session, bytes) {
    session.write('500 5.5.2 A line ends with CR LF, and neither stands alone\r\n');
    session.end();
    return { consumed: bytes.length };
  }

  #discard(session, state, bytes, end) {
    if (end < 0) {
      state.discard = bytes[bytes.length - 1] === CR ? DISCARD.behindCr : DISCARD.yes;
      return { consumed: bytes.length };
    }
    const behindCr = end > 0 ? bytes[end - 1] === CR : state.discard === DISCARD.behindCr;
    if (!behindCr) return this.#bareEnd(session, bytes);
    state.discard = DISCARD.no;
    const command = { state, isLast: false };
    session.write(`${this.#error(command, '500 5.5.2 Line too long')}\r\n`);
    if (command.isLast) session.end();
    return { consumed: end + 1 };
  }

  /** The reply; `isLast` is set on the command where the session is to end behind it. */
  #command(command, text, isMore) {
    const { state } = command;
    const [, word = '', rest = ''] = /^([A-Za-z]+)(?: (.*))?$/s.exec(text.trimEnd()) ?? [];
    const verb = word.toUpperCase();
    Object.assign(command, { verb, rest });
    if (!Object.hasOwn(this.#commands, verb)) {
      command.isLast = FOREIGN.test(text);
      return this.#error(command, command.isLast ? '500 5.5.1 This is SMTP' : UNKNOWN);
    }
    const reply = this.#commands[verb].call(this, command);
    // Whoever sends a mail without waiting for 354 means it as a mail (RFC 2920, 3.1), so where there is
    // no 354 it must not be read as commands.
    if (verb === 'DATA' && state.phase !== PHASE.data && isMore) command.isLast = true;
    return reply[0] === '5' ? this.#error(command, reply) : reply;
  }

  /** Counts an error; too many are enough. */
  #error(command, reply) {
    if (++command.state.errors < MAX_ERRORS) return reply;
    command.isLast = true;
    return `${reply}\r\n421 4.7.0 Too many errors`;
  }

  #hello({ state, verb, rest, session }) {
    if (!isHello(rest) || Buffer.byteLength(rest) > MAX_HELLO) {
      return '501 5.5.4 It takes a domain or an address in brackets';
    }
    this.#forget(state);
    state.phase = PHASE.ready;
    state.hello = rest;
    state.extended = verb === 'EHLO' ? 1 : 0;
    const greeting = `${this.#hostname} greets [${session.remoteAddress}]`;
    if (verb === 'HELO') return `250 ${greeting}`;
    const extensions = ['PIPELINING', `SIZE ${this.#maxMessageBytes}`, '8BITMIME', 'SMTPUTF8'];
    const lines = [greeting, ...extensions, 'ENHANCEDSTATUSCODES'];
    return `${lines.map((line) => `250-${line}\r\n`).join('')}250 HELP`;
  }

  #mail({ session, state, rest }) {
    if (state.phase === PHASE.connected) return '503 5.5.1 EHLO or HELO first';
    if (state.phase === PHASE.envelope) return '503 5.5.1 There is a sender already';
    const path = /^FROM: *(.*)$/is.exec(rest)?.[1];
    const parsed = path === undefined ? null : parsePath('MAIL', path);
    if (parsed === null) return '501 5.5.4 MAIL FROM:<address>';
    const { address, parameters } = parsed;
    const refusal = this.#parametersFault(state, parameters);
    if (refusal !== null) return refusal;
    const utf8 = parameters.has('SMTPUTF8');
    if (!utf8 && !isAscii(address)) return '550 5.6.7 This address needs SMTPUTF8';
    return this.#guarded(() => {
      this.#sender(address, session.remoteAddress);
      state.name = this.#spool.begin(JSON.stringify(address));
      state.utf8 = utf8 ? 1 : 0;
      state.phase = PHASE.envelope;
      return '250 2.1.0 OK';
    });
  }

  #parametersFault(state, parameters) {
    if (parameters.size > 0 && state.extended === 0) return '555 5.5.4 EHLO first';
    for (const [name, value] of parameters) {
      if (name === 'SIZE') {
        if (!/^\d{1,20}$/.test(value)) return '501 5.5.4 SIZE=number';
        if (Number(value) > this.#maxMessageBytes) return this.#tooLarge();
      } else if (name === 'BODY') {
        if (!/^(?:7BIT|8BITMIME)$/i.test(value)) return '501 5.5.4 BODY=7BIT or BODY=8BITMIME';
      } else if (name !== 'SMTPUTF8' || value !== '') {
        return '555 5.5.4 Parameter not known';
      }
    }
    return null;
  }

  #tooLarge() {
    return `552 5.3.4 A mail has at most ${this.#maxMessageBytes} bytes`;
  }

  #rcpt({ state, rest }) {
    if (state.phase !== PHASE.envelope) return '503 5.5.1 MAIL first';
    const path = /^TO: *(.*)$/is.exec(rest)?.[1];
    const parsed = path === undefined ? null : parsePath('RCPT', path);
    if (parsed === null) return '501 5.5.4 RCPT TO:<address>';
    const { address, parameters } = parsed;
    if (parameters.size > 0) return '555 5.5.4 Parameter not known';
    if (state.utf8 === 0 && !isAscii(address)) return '550 5.6.7 This address needs SMTPUTF8';
    if (state.recipients >= this.#maxRecipients) return '452 4.5.3 Too many recipients';
    return this.#guarded(() => {
      this.#recipient(address);
      this.#spool.note(state.name, JSON.stringify(address));
      state.recipients++;
      return '250 2.1.5 OK';
    });
  }

  #data({ session, state, rest }) {
    if (rest !== '') return '501 5.5.4 DATA stands alone';
    if (state.phase !== PHASE.envelope) return '503 5.5.1 MAIL and RCPT first';
    if (state.recipients === 0) return '554 5.5.1 No recipient was taken';
    return this.#guarded(() => {
      const [from, ...recipients] = this.#addresses(state);
      const trace = this.#trace(session, state, from, recipients);
      this.#spool.open(state.name, Buffer.from(trace));
      Object.assign(state, { phase: PHASE.data, at: AT.lineStart, fault: FAULT.none });
      Object.assign(state, { lineBytes: 0, size: 0 });
      session.idleTimeout = DATA_TIMEOUT;
      return '354 End with CR LF . CR LF';
    });
  }

  #addresses(state) {
    return this.#spool.notes(state.name).map((line) => JSON.parse(line));
  }

  /** RFC 5321, 4.4: whence it came, for whom where that gives nobody else away. */
  #trace(session, state, from, recipients) {
    const how = state.utf8 !== 0 ? 'UTF8SMTP' : state.extended !== 0 ? 'ESMTP' : 'SMTP';
    const whom = recipients.length === 1 ? `\r\n\tfor <${recipients[0]}>` : '';
    const literal = session.remoteAddress.includes(':') ? 'IPv6:' : '';
    const date = new Date().toUTCString().replace('GMT', '+0000');
    return (
      `Return-Path: <${from}>\r\n` +
      `Received: from ${state.hello} ([${literal}${session.remoteAddress}])\r\n` +
      `\tby ${this.#hostname} with ${how} id ${state.name}${whom};\r\n\t${date}\r\n`
    );
  }

  /** A piece of a mail. */
  #content(session, state, bytes) {
    const { consumed, ended, content } = decode(state, bytes, MAX_LINE_BYTES);
    const more = state.fault === FAULT.none ? content.length : consumed;
    const size = Math.min(state.size + more, 0xffffffff);
    state.size = size;
    if (state.fault === FAULT.none && size > this.#maxMessageBytes) state.fault = FAULT.tooLarge;
    let refusal = null;
    if (state.fault === FAULT.none && content.length > 0) {
      refusal = this.#guarded(() => this.#spool.append(state.name, content)) ?? null;
    }
    const endless = size > this.#maxMessageBytes * TOO_LARGE_READ_FACTOR;
    if (refusal !== null || (endless && !ended)) {
      // What is left of the mail would be read as commands.
      this.#forget(state);
      session.write(`${refusal ?? this.#tooLarge()}\r\n`);
      session.end();
      return bytes.length;
    }
    if (!ended) return consumed;
    session.idleTimeout = COMMAND_TIMEOUT;
    const answered = this.#ended(session, state);
    if (typeof answered === 'string') return this.#answer(session, state, answered, consumed);
    return answered.then((reply) => this.#answer(session, state, reply, consumed));
  }

  #answer(session, state, reply, consumed) {
    this.#forget(state);
    session.state = STATES[state.phase];
    session.write(`${reply}\r\n`);
    return consumed;
  }

  /** The mail is whole: the reply, or a promise of it. */
  #ended(session, state) {
    const faults = {
      [FAULT.bareLf]: '550 5.6.0 A line of the mail ends with LF alone',
      [FAULT.bareCr]: '550 5.6.0 The mail has a CR without LF',
      [FAULT.longLine]: `550 5.6.0 A line of the mail has more than ${MAX_LINE_BYTES} bytes`,
      [FAULT.tooLarge]: this.#tooLarge(),
    };
    const fault = faults[state.fault];
    if (fault !== undefined) return fault;
    const taken = `250 2.0.0 OK: ${state.name}`;
    return this.#guarded(() => {
      const [from, ...recipients] = this.#addresses(state);
      this.#spool.finish(state.name);
      const { name, size, hello } = state;
      const { remoteAddress } = session;
      const mail = { name, from, recipients, size, hello, remoteAddress, utf8: state.utf8 !== 0 };
      const delivered = this.#deliver(mail);
      if (!(delivered instanceof Promise)) return taken;
      return delivered.then(() => taken, refused);
    });
  }

  #guarded(action) {
    try {
      return action();
    } catch (error) {
      return refused(error);
    }
  }

  #rset({ state }) {
    this.#forget(state);
    return '250 2.0.0 OK';
  }

  #vrfy({ rest }) {
    if (rest === '') return '501 5.5.4 VRFY address';
    // RFC 5321, 3.5.3: the truth would help those most who try names.
    return '252 2.1.5 Not told; mail for it will be tried';
  }

  #quit(command) {
    if (command.rest !== '') return '501 5.5.4 QUIT stands alone';
    this.#forget(command.state);
    command.isLast = true;
    return `221 2.0.0 ${this.#hostname} closes the connection`;
  }

  /** No mail is on its way any more. */
  #forget(state) {
    if (state.phase >= PHASE.envelope) this.#spool.remove(state.name);
    if (state.phase !== PHASE.connected) state.phase = PHASE.ready;
    state.recipients = 0;
    state.utf8 = 0;
  }
}

/** The reply for an error: of the application's choice, or one for it to look into. */
function refused(error) {
  if (error instanceof Refusal) return `${error.code} ${error.status} ${error.message}`;
  if (error?.code === 'ENOSPC' || error?.code === 'EDQUOT') {
    return '452 4.3.1 No room for the mail at present';
  }
  console.error(`smtp: ${error?.stack ?? error}`);
  return '451 4.3.0 The server could not do that at present';
}
