import { closeSync } from "node:fs";
import { family, openSocket, setOption, socketType } from "../../src/sys/socket.ts";
import { checked, libc } from "../../src/sys/libc.ts";

/** A program: opens and resets TCP connections to ADDRESS PORT for MS milliseconds, one after another, and prints how many it made in a second. */

const [address = "", port = "", ms = "1000"] = process.argv.slice(2);
const target = socketAddress(address, Number(port));
const linger = new Uint8Array(Int32Array.of(1, 0).buffer);

function connectOnce(): void {
  const fd = openSocket(family.inet, socketType.stream);
  // Closing with a reset leaves no TIME_WAIT behind, or the source ports would run out within two seconds (SO_LINGER, socket(7)).
  setOption(fd, { level: 1, name: 13, value: linger, op: "set SO_LINGER" });
  checked(`connect to ${address}:${port}`, libc().connect(fd.number, target, target.length));
  closeSync(fd.release());
}

function socketAddress(text: string, portNumber: number): Uint8Array {
  const bytes = new Uint8Array(16);
  new DataView(bytes.buffer).setUint16(0, family.inet, true);
  new DataView(bytes.buffer).setUint16(2, portNumber);
  text.split(".").forEach((octet, i) => (bytes[4 + i] = Number(octet)));
  return bytes;
}

for (let i = 0; i < 500; i++) connectOnce();
const begin = performance.now();
let made = 0;
while (performance.now() - begin < Number(ms)) {
  for (let i = 0; i < 50; i++) connectOnce();
  made += 50;
}
console.log((made * 1000) / (performance.now() - begin));
