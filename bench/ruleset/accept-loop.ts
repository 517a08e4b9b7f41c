import { closeSync } from "node:fs";
import { bindSocket, family, openSocket, socketType, trySocketOption, socketOption } from "../../src/sys/socket.ts";
import { checked, libc } from "../../src/sys/libc.ts";

/** A program: accepts TCP connections on PORT and closes them at once, until it is killed. Says "ready" when it listens. */

const port = Number(process.argv[2]);
const listener = openSocket(family.inet, socketType.stream);
trySocketOption(listener, socketOption.reuseAddress, 1);
const address = new Uint8Array(16);
new DataView(address.buffer).setUint16(0, family.inet, true);
new DataView(address.buffer).setUint16(2, port);
bindSocket(listener, address, `bind port ${port}`);
checked("listen", libc().listen(listener.number, 4096));
process.stdout.write("ready\n");
for (;;) closeSync(checked("accept", libc().accept4(listener.number, null, null, 0)));
