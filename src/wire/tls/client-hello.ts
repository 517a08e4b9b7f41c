/** What the first message of a TLS connection says of itself. `ech`: its real name is encrypted; `name` is the one for all to see. */
export type ClientHello = { name: Uint8Array | undefined; ech: boolean };

export type HelloRead = { kind: "hello"; hello: ClientHello } | { kind: "more" } | { kind: "fault"; problem: string };

const handshakeRecord = 22;
const clientHelloType = 1;
const extensionServerName = 0;
const extensionEch = 0xfe0d;
const recordHeaderBytes = 5;
/** RFC 8446 §5.1: 2^14 bytes of payload at the most. */
const maxRecordBytes = 16384;
const nothing = Buffer.alloc(0);

/**
 * Finds the ClientHello at the start of a stream, however it is cut into segments and records, and the name in it (RFC 8446 §4.1.2,
 * RFC 6066 §3). Reads `maxBytes` of the message at the most, and each byte once.
 */
export class ClientHelloReader {
  readonly #maxBytes: number;
  /** Records not read yet. */
  #held: Buffer = nothing;
  #message: Buffer[] = [];
  #length = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  push(chunk: Buffer): HelloRead {
    this.#held = this.#held.length === 0 ? chunk : Buffer.concat([this.#held, chunk]);
    for (;;) {
      const record = this.#held;
      const fault = recordFault(record);
      if (fault !== undefined) return { kind: "fault", problem: fault };
      if (record.length < recordHeaderBytes) return { kind: "more" };
      const end = recordHeaderBytes + record.readUInt16BE(3);
      if (record.length < end) return { kind: "more" };
      this.#message.push(record.subarray(recordHeaderBytes, end));
      this.#length += end - recordHeaderBytes;
      this.#held = record.subarray(end);
      const read = this.#whole();
      if (read.kind !== "more") return read;
    }
  }

  #whole(): HelloRead {
    if (this.#length < 4) return { kind: "more" };
    const message = this.#message.length === 1 ? (this.#message[0] ?? nothing) : Buffer.concat(this.#message);
    this.#message = [message];
    if (message[0] !== clientHelloType) return { kind: "fault", problem: "the first message is no ClientHello" };
    const end = 4 + message.readUIntBE(1, 3);
    if (end > this.#maxBytes) return { kind: "fault", problem: `the ClientHello has more than ${this.#maxBytes} bytes` };
    if (message.length < end) return { kind: "more" };
    const hello = readHello(message.subarray(4, end));
    return "fault" in hello ? { kind: "fault", problem: hello.fault } : { kind: "hello", hello };
  }
}

/** Judged as early as its bytes are here, so that another protocol is not waited for. */
function recordFault(record: Buffer): string | undefined {
  if (record.length >= 1 && record[0] !== handshakeRecord) return "the connection does not begin with TLS";
  if (record.length >= 2 && record[1] !== 3) return "the connection does not begin with TLS";
  if (record.length < recordHeaderBytes) return undefined;
  const length = record.readUInt16BE(3);
  return length === 0 || length > maxRecordBytes ? `a TLS record has ${length} bytes` : undefined;
}

function readHello(body: Buffer): ClientHello | { fault: string } {
  const cursor = new Cursor(body);
  cursor.skip(2 + 32);
  cursor.vector(1);
  cursor.vector(2);
  cursor.vector(1);
  if (cursor.atEnd) return { name: undefined, ech: false };
  const extensions = new Cursor(cursor.vector(2));
  if (cursor.broken || !cursor.atEnd) return malformed;
  const hello: ClientHello = { name: undefined, ech: false };
  const seen = new Set<number>();
  while (!extensions.atEnd) {
    const type = extensions.number(2);
    const data = extensions.vector(2);
    if (extensions.broken) return malformed;
    if (seen.has(type)) return { fault: "an extension of the ClientHello comes twice" };
    seen.add(type);
    if (type === extensionEch) hello.ech = true;
    if (type !== extensionServerName) continue;
    const name = readServerName(data);
    if (name === undefined) return { fault: "the ClientHello's server name is not exactly one host name" };
    hello.name = name;
  }
  return hello;
}

/** A list may have one name of each type, and type 0, host_name, is the only one there is. */
function readServerName(data: Buffer): Buffer | undefined {
  const outer = new Cursor(data);
  const list = new Cursor(outer.vector(2));
  const type = list.number(1);
  const name = list.vector(2);
  return outer.broken || list.broken || !outer.atEnd || !list.atEnd || type !== 0 || name.length === 0 ? undefined : name;
}

const malformed = { fault: "the ClientHello is malformed" };

/** Reads on after a fault as if there were zeros, and remembers it. */
class Cursor {
  readonly #bytes: Buffer;
  #at = 0;
  broken = false;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  get atEnd(): boolean {
    return this.broken || this.#at === this.#bytes.length;
  }

  number(width: 1 | 2): number {
    const bytes = this.#take(width);
    return bytes.length === 0 ? 0 : bytes.readUIntBE(0, width);
  }

  vector(width: 1 | 2): Buffer {
    return this.#take(this.number(width));
  }

  skip(bytes: number): void {
    this.#take(bytes);
  }

  #take(bytes: number): Buffer {
    if (this.#at + bytes > this.#bytes.length) this.broken = true;
    if (this.broken) return nothing;
    this.#at += bytes;
    return this.#bytes.subarray(this.#at - bytes, this.#at);
  }
}
