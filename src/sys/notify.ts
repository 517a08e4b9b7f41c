import { sendUnixDatagram } from "./unix-socket.ts";

/**
 * Tells systemd a state (sd_notify(3)): `{ READY: "1", STATUS: "…" }`. `socket` is the value of NOTIFY_SOCKET.
 * False when there is none or nobody listens; a service must not fail over it.
 */
export function notifySupervisor(socket: string | undefined, state: Readonly<Record<string, string>>): boolean {
  if (socket === undefined || !/^[/@]/.test(socket)) return false;
  const lines = Object.entries(state).map(([name, value]) => `${name}=${value.replaceAll("\n", " ")}`);
  try {
    sendUnixDatagram(socket, new TextEncoder().encode(lines.join("\n")));
    return true;
  } catch {
    return false;
  }
}
