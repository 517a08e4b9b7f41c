/** A ClientHello of TLS 1.3 for a host, of the size browsers send. */
export function clientHello(name: string): Buffer {
  const entry = Buffer.concat([Buffer.of(0, name.length >> 8, name.length & 255), Buffer.from(name)]);
  const list = Buffer.concat([sized(2, entry)]);
  const extensions = Buffer.concat([extension(0, list), extension(43, Buffer.of(2, 3, 4)), extension(51, Buffer.alloc(1200))]);
  const body = Buffer.concat([
    Buffer.of(3, 3),
    Buffer.alloc(32),
    sized(1, Buffer.alloc(32)),
    sized(2, Buffer.of(19, 1)),
    Buffer.of(1, 0),
    sized(2, extensions),
  ]);
  const message = Buffer.concat([Buffer.of(1), sized(3, body)]);
  return Buffer.concat([Buffer.of(22, 3, 1), sized(2, message)]);
}

function extension(type: number, data: Buffer): Buffer {
  return Buffer.concat([Buffer.of(type >> 8, type & 255), sized(2, data)]);
}

/** The bytes with their length before them, in so many bytes. */
function sized(width: number, bytes: Buffer): Buffer {
  const length = Buffer.alloc(width);
  length.writeUIntBE(bytes.length, 0, width);
  return Buffer.concat([length, bytes]);
}
