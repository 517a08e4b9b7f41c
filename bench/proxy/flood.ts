import { connect } from "node:net";
import { ports } from "./place.ts";

/** One run out of control: as many connections at once as a sandbox could have files, each asking for what is denied, again and again. */
const atOnce = 500;
const ask = "GET http://denied.example.net/ HTTP/1.1\r\nHost: denied.example.net\r\n\r\n".repeat(20);

function flood(): void {
  const socket = connect(ports.nexus, "127.0.0.1");
  socket.on("error", () => {});
  socket.on("close", () => setImmediate(flood));
  socket.on("connect", () => socket.end(ask));
  socket.resume();
}

for (let i = 0; i < atOnce; i++) flood();
