import { NexusError } from "../base/errors.ts";
import { type Ip, isIpv4, parseIp } from "../base/ip.ts";
import { isFault, parseName } from "../base/names.ts";
import { parsePort, type Port } from "../base/port.ts";
import { ownDisks } from "./own-disks.ts";
import type { NetworkRef, NodeTmpfs, PublishSpec } from "./node.ts";

/** Texts of the command line. Every function throws NexusError `usage` that says what is wrong and shows the right form. */

/** `[ADDRESS:]HOST:GUEST[/udp]`, ports or ranges of one width: `8080:80`, `127.0.0.1:53:53/udp`, `[::1]:80:80`, `10000-10010:20000-20010`. */
export function parsePublish(text: string): PublishSpec {
  return readPublish(text, (problem) =>
    usage(
      "--publish",
      text,
      problem,
      "[ADDRESS:]HOST:GUEST[/udp], for example 8080:80, 127.0.0.1:53:53/udp, [::1]:80:80 or 10000-10010:20000-20010",
    ),
  );
}

/** The same for other doors: `wrong` makes the error that is thrown. */
export function readPublish(text: string, wrong: Wrong): PublishSpec {
  const [, body = "", protocol = "tcp"] = /^(.*?)(?:\/([^/]*))?$/s.exec(text) ?? [];
  if (protocol !== "tcp" && protocol !== "udp") throw wrong(`the protocol is tcp or udp, not "${protocol}"`);
  const { address, ports } = splitAddress(body, wrong);
  const [hostText, guestText, ...more] = ports.split(":");
  if (hostText === undefined || guestText === undefined) throw wrong("the guest's port is missing");
  if (more.length > 0) throw wrong("it has too many parts; an IPv6 address needs brackets");
  const host = parsePorts(hostText, "host", wrong);
  const guest = parsePorts(guestText, "guest", wrong);
  const widths = [host.last - host.first + 1, guest.last - guest.first + 1];
  if (widths[0] !== widths[1]) throw wrong(`${widths[0]} host ${plural(widths[0])} cannot go to ${widths[1]} guest ${plural(widths[1])}`);
  return {
    protocol,
    ...(address === undefined ? {} : { hostAddress: address }),
    hostPort: host.first,
    ...(host.last === host.first ? {} : { hostPortEnd: host.last }),
    guestPort: guest.first,
  };
}

/** `NETWORK[:ADDRESS[,ADDRESS]]`: `blue`, `blue:10.0.0.5`, `blue:[fd00::5]`, `blue:10.0.0.5,fd00::5`. */
export function parseNetworkRef(text: string): NetworkRef {
  const wrong = (problem: string): NexusError =>
    usage("--network", text, problem, "NETWORK[:ADDRESS], for example blue, blue:10.0.0.5 or blue:10.0.0.5,[fd00::5]");
  const colon = text.indexOf(":");
  const network = parseName(colon === -1 ? text : text.slice(0, colon));
  if (isFault(network)) throw wrong(network.fault);
  const ref: NetworkRef = { network };
  if (colon === -1) return ref;
  for (const part of text.slice(colon + 1).split(",")) {
    const address = parseIp(/^\[(.*)\]$/.exec(part)?.[1] ?? part);
    if (address === undefined) throw wrong(`"${part}" is not an IP address`);
    const key = isIpv4(address) ? "address" : "address6";
    if (ref[key] !== undefined) throw wrong(`it has two IPv${isIpv4(address) ? 4 : 6} addresses; a guest has one on each network`);
    ref[key] = address;
  }
  return ref;
}

/** `KEY=VALUE`; the value may be empty and may have more "=". */
export function parseEnv(text: string): [key: string, value: string] {
  const wrong = (problem: string): NexusError => usage("--env", text, problem, "KEY=VALUE, for example LANG=C.UTF-8");
  const equals = text.indexOf("=");
  if (equals === -1) throw wrong("the = is missing");
  const key = text.slice(0, equals);
  if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(key)) throw wrong(`"${key}" is no variable name: letters, digits and _, no digit first`);
  return [key, text.slice(equals + 1)];
}

/** `KEY=VALUE`, or `KEY` alone for an empty value. */
export function parseLabel(text: string): [key: string, value: string] {
  const equals = text.indexOf("=");
  return equals === -1 ? [text, ""] : [text.slice(0, equals), text.slice(equals + 1)];
}

/** `SOURCE:TARGET[:ro|rw]`: a volume's name or a path of the host, and the absolute path where a node sees it. */
export function parseVolume(text: string): { source: string; target: string; readOnly: boolean } {
  const wrong = (problem: string): NexusError => usage("--volume", text, problem, "VOLUME:TARGET or PATH:TARGET, with :ro to only read it");
  const [source = "", target, mode = "rw", ...more] = text.split(":");
  if (target === undefined || source === "") throw wrong("the place inside the node is missing");
  if (!target.startsWith("/")) throw wrong(`"${target}" is not an absolute path`);
  if (more.length > 0 || (mode !== "ro" && mode !== "rw")) throw wrong("after the target only ro or rw may follow");
  return { source, target, readOnly: mode === "ro" };
}

/** `PATH[:OPTION,…]` with the options size=64M, mode=1777, uid=, gid=, ro, rw, exec and noexec. */
export function parseTmpfs(text: string): NodeTmpfs {
  return readTmpfs(text, (problem) => usage("--tmpfs", text, problem, tmpfsForm));
}

export const tmpfsForm = "PATH or PATH:OPTIONS, for example /run or /tmp:size=64M,mode=1777,uid=1000,exec";

export function readTmpfs(text: string, wrong: Wrong): NodeTmpfs {
  const colon = text.indexOf(":");
  const target = colon === -1 ? text : text.slice(0, colon);
  if (!/^\/[^\0]*[^/\0][^\0]*$/.test(target)) throw wrong(`"${target}" is no absolute path of a directory`);
  const tmpfs: NodeTmpfs = { target, readOnly: false, exec: false };
  for (const option of colon === -1 ? [] : text.slice(colon + 1).split(",")) {
    const [, name = "", value] = /^([a-z]+)(?:=(.*))?$/s.exec(option) ?? [];
    const number = /^\d{1,10}$/.test(value ?? "") ? Number(value) : undefined;
    if (value === undefined && (name === "ro" || name === "rw")) tmpfs.readOnly = name === "ro";
    else if (value === undefined && (name === "exec" || name === "noexec")) tmpfs.exec = name === "exec";
    else if (name === "size" && value !== undefined) tmpfs.size = readBytes(value, wrong);
    else if (name === "mode" && value !== undefined) tmpfs.mode = value;
    else if ((name === "uid" || name === "gid") && number !== undefined) tmpfs[name] = number;
    else throw wrong(`"${option}" is none of its options`);
  }
  return tmpfs;
}

/** Bytes: a whole number, or one with K, M, G or T (powers of 1,024). */
export function readBytes(text: string, wrong: Wrong): number {
  const [, amount = "", unit = ""] = /^([1-9]\d{0,14})([kmgt]?)i?b?$/i.exec(text) ?? [];
  const bytes = Number(amount) * 1024 ** " kmgt".indexOf(unit.toLowerCase() || " ");
  if (amount === "" || !Number.isSafeInteger(bytes)) throw wrong(`"${text}" is no size`);
  return bytes;
}

/** `VOLUME[:SIZE]` or `FILE[:SIZE]`: the disk is named after the volume, or the file without its ending. */
export function parseDisk(text: string): { name: string; source: string; size?: string } {
  const wrong = (problem: string): NexusError =>
    usage("--volume", text, problem, "VOLUME:SIZE or FILE, for example data:10G or ./data.qcow2");
  const [source = "", size, ...more] = text.split(":");
  if (source === "") throw wrong("the volume or file is missing");
  if (more.length > 0) throw wrong("it has too many parts");
  if (size !== undefined && !/^[1-9]\d{0,11}[KMGT]?$/.test(size)) throw wrong(`"${size}" is no size`);
  const name = (source.split("/").at(-1) ?? source).replace(/\.[a-z0-9]+$/i, "").toLowerCase();
  if (ownDisks.includes(name)) throw wrong(`the guest has a disk called ${name} already; the volume or file needs another name`);
  return { name, source, ...(size === undefined ? {} : { size }) };
}

/** Bytes: a whole number, or one with K, M, G or T (powers of 1,024). */
export function parseSize(flag: string, text: string): number {
  const match = /^(\d{1,12})([KMGT]?)$/.exec(text);
  if (match === null) throw usage(flag, text, "it is no size", "bytes, or a whole number with K, M, G or T: 65536, 64K, 16M");
  return Number(match[1]) * 1024 ** ("KMGT".indexOf(match[2] || " ") + 1);
}

const mebibytes: Readonly<Record<string, number>> = { "": 1, m: 1, g: 1024, t: 1024 * 1024 };

/** MiB: a plain number, or one with M, G or T (powers of 1,024): `256`, `256M`, `1.5G`. */
export function parseMemory(text: string): number {
  return readMemory(text, (problem) => usage("--mem", text, problem, "MiB, or a number with M, G or T: 256, 256M, 1G"));
}

export function readMemory(text: string, wrong: Wrong): number {
  const match = /^(\d{1,9}(?:\.\d{1,3})?)\s?([mgt]?)(?:i?b)?$/i.exec(text);
  const unit = mebibytes[match?.[2]?.toLowerCase() ?? "?"];
  if (match === null || unit === undefined || /^[\d.]+\s?i?b$/i.test(text)) throw wrong("it is no amount of memory");
  const value = Number(match[1]) * unit;
  if (!Number.isInteger(value)) throw wrong("it is no whole number of MiB");
  if (value === 0) throw wrong("it must be more than zero");
  return value;
}

const milliseconds: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** Milliseconds: `90` and `90s` are seconds; also `500ms`, `5m`, `1h30m`, `2d`. */
export function parseDuration(flag: string, text: string): number {
  return readDuration(text, (problem) => usage(flag, text, problem, "seconds, or numbers with ms, s, m, h or d: 10, 500ms, 5m, 1h30m"));
}

export function readDuration(text: string, wrong: Wrong): number {
  if (/^\d{1,9}$/.test(text)) return Number(text) * 1000;
  if (!/^(\d{1,9}(ms|s|m|h|d))+$/.test(text)) throw wrong("it is no duration");
  let total = 0;
  for (const [, amount, unit = ""] of text.matchAll(/(\d+)(ms|s|m|h|d)/g)) total += Number(amount) * (milliseconds[unit] ?? 0);
  return total;
}

type Wrong = (problem: string) => Error;

function splitAddress(body: string, wrong: Wrong): { address: Ip | undefined; ports: string } {
  const bracketed = /^\[([^\]]*)\]:(.*)$/s.exec(body);
  if (body.startsWith("[") && bracketed === null) throw wrong("the ] after the address must be followed by :HOST:GUEST");
  const plain = /^([^:]*):([^:]*:[^:]*)$/s.exec(body);
  const [, text, ports] = bracketed ?? plain ?? [];
  if (text === undefined || ports === undefined) return { address: undefined, ports: body };
  const address = parseIp(text);
  if (address === undefined) throw wrong(`"${text}" is not an IP address of this host`);
  if (bracketed !== null && isIpv4(address)) throw wrong("only an IPv6 address stands in brackets");
  return { address, ports };
}

function parsePorts(text: string, whose: string, wrong: Wrong): { first: Port; last: Port } {
  const [firstText = "", lastText, ...more] = text.split("-");
  const first = parsePort(firstText);
  const last = lastText === undefined ? first : parsePort(lastText);
  if (text === "") throw wrong(`the ${whose} port is missing`);
  if (first === undefined || last === undefined || more.length > 0)
    throw wrong(`"${text}" is no ${whose} port: 1-65535, or a range such as 8000-8010`);
  if (last < first) throw wrong(`the range ${text} ends before it starts`);
  return { first, last };
}

function plural(count: number | undefined): string {
  return count === 1 ? "port" : "ports";
}

function usage(flag: string, text: string, problem: string, form: string): NexusError {
  return new NexusError("usage", `${flag === "" ? "" : `${flag} `}"${text}": ${problem}`, { hint: `write it as ${form}` });
}
