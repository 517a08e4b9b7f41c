/** A file of the seed; names are those cloud-init asks for. */
export type SeedFile = { name: string; content: Uint8Array };

/** ECMA-119 §6.1.2 */
const sector = 2048;
/** The volume descriptors come after 16 sectors that are left to others (ECMA-119 §6.2.1). */
const firstDescriptor = 16;
/** cloud-init finds its data on a volume of this name. */
const volume = "cidata";

/**
 * A CD image for cloud-init's NoCloud: a few files in one directory (ECMA-119, with Rock Ridge and Joliet names beside its own short
 * ones). The same files give the same bytes: the disk of a guest that is not changed stays as it is.
 * @throws RangeError when the names do not fit in a directory of one sector, or there are two alike
 */
export function writeSeedIso(files: readonly SeedFile[]): Uint8Array {
  const layout = layOut(files);
  const image = Buffer.alloc(layout.sectors * sector);
  const put = (at: number, bytes: Uint8Array): void => image.set(bytes, at * sector);
  put(firstDescriptor, descriptor(1, layout));
  put(firstDescriptor + 1, descriptor(2, layout));
  put(firstDescriptor + 2, Buffer.from("\xffCD001\x01", "latin1"));
  for (const [kind, tree] of [
    ["short", layout.short],
    ["joliet", layout.joliet],
  ] as const) {
    put(tree.pathTable.little, pathTable(tree.root, "little"));
    put(tree.pathTable.big, pathTable(tree.root, "big"));
    put(tree.root, directory(kind, tree.root, layout.files));
  }
  for (const file of layout.files) put(file.at, file.content);
  return image;
}

type Tree = { root: number; pathTable: { little: number; big: number } };
type PlacedFile = SeedFile & { shortName: string; at: number };
type Layout = { short: Tree; joliet: Tree; files: PlacedFile[]; sectors: number };

/** Sectors in the order they are taken. */
function layOut(files: readonly SeedFile[]): Layout {
  let next = firstDescriptor + 3;
  const take = (bytes: number): number => {
    const at = next;
    next += Math.max(1, Math.ceil(bytes / sector));
    return at;
  };
  const tree = (): Tree => ({ pathTable: { little: take(1), big: take(1) }, root: take(sector) });
  const [short, joliet] = [tree(), tree()];
  const names = files.map((file) => file.name);
  if (new Set(names).size < names.length) throw new RangeError(`two files of a seed have one name: ${names.join(", ")}`);
  const placed = files
    .map((file, i) => ({ ...file, shortName: shortName(file.name, i), at: take(file.content.length) }))
    .toSorted((a, b) => (a.shortName < b.shortName ? -1 : 1));
  return { short, joliet, files: placed, sectors: next };
}

/** Eight characters, a dot and a version (ECMA-119 §7.5.1, level 1). The number keeps names apart that begin alike. */
function shortName(name: string, number: number): string {
  const letters = name.toUpperCase().replaceAll(/[^A-Z0-9]/g, "_");
  return `${letters.slice(0, 6)}${String(number).padStart(2, "0")}.;1`;
}

/** ECMA-119 §8.4 for kind 1, §8.5 for kind 2, which is Joliet's. */
function descriptor(kind: 1 | 2, layout: Layout): Uint8Array {
  const tree = kind === 1 ? layout.short : layout.joliet;
  const bytes = Buffer.alloc(sector);
  const text = (at: number, length: number, words: string): void => {
    bytes.set(kind === 1 ? padded(words, length) : utf16(words, length), at);
  };
  bytes[0] = kind;
  bytes.set(Buffer.from("CD001\x01", "latin1"), 1);
  text(8, 32, "");
  text(40, 32, volume);
  bytes.set(both32(layout.sectors), 80);
  // Joliet: UCS-2, level 3.
  if (kind === 2) bytes.set(Buffer.from("%/E"), 88);
  bytes.set(both16(1), 120);
  bytes.set(both16(1), 124);
  bytes.set(both16(sector), 128);
  bytes.set(both32(pathTable(tree.root, "little").length), 132);
  bytes.writeUInt32LE(tree.pathTable.little, 140);
  bytes.writeUInt32BE(tree.pathTable.big, 148);
  bytes.set(record({ identifier: Buffer.of(0), at: tree.root, size: sector, isDirectory: true, system: Buffer.alloc(0) }), 156);
  for (const [at, length] of [
    [190, 128],
    [318, 128],
    [446, 128],
    [574, 128],
    [702, 37],
    [739, 37],
    [776, 37],
  ] as const)
    text(at, length, "");
  // Sixteen noughts and a zero are no date (§8.4.26.1).
  for (const at of [813, 830, 847, 864]) bytes.fill("0", at, at + 16);
  bytes[881] = 1;
  return bytes;
}

/** The root alone (ECMA-119 §9.4). */
function pathTable(root: number, order: "little" | "big"): Uint8Array {
  const bytes = Buffer.alloc(10);
  bytes[0] = 1;
  if (order === "little") bytes.writeUInt32LE(root, 2);
  else bytes.writeUInt32BE(root, 2);
  if (order === "little") bytes.writeUInt16LE(1, 6);
  else bytes.writeUInt16BE(1, 6);
  return bytes;
}

function directory(kind: "short" | "joliet", root: number, files: readonly PlacedFile[]): Uint8Array {
  const rockRidge = (entry: () => Uint8Array): Uint8Array => (kind === "short" ? entry() : Buffer.alloc(0));
  const self = { at: root, size: sector, isDirectory: true };
  const dot = record({
    ...self,
    identifier: Buffer.of(0),
    system: rockRidge(() => Buffer.concat([sharingProtocol, directoryMode, extensionReference])),
  });
  const dotDot = record({ ...self, identifier: Buffer.of(1), system: rockRidge(() => directoryMode) });
  const ordered = kind === "short" ? files : files.toSorted((a, b) => (a.name < b.name ? -1 : 1));
  const records = ordered.map((file) =>
    record({
      identifier: kind === "short" ? Buffer.from(file.shortName, "latin1") : utf16(file.name, 2 * file.name.length),
      at: file.at,
      size: file.content.length,
      isDirectory: false,
      system: rockRidge(() => Buffer.concat([posixMode(0o100400, 1), nameEntry(file.name)])),
    }),
  );
  const bytes = Buffer.concat([dot, dotDot, ...records]);
  if (bytes.length > sector) throw new RangeError(`${files.length} files do not fit in a seed's directory`);
  return bytes;
}

type Entry = { identifier: Uint8Array; at: number; size: number; isDirectory: boolean; system: Uint8Array };

/** ECMA-119 §9.1; a field for other systems may follow, at an even place. */
function record(entry: Entry): Uint8Array {
  const name = entry.identifier.length % 2 === 0 ? Buffer.concat([entry.identifier, Buffer.of(0)]) : entry.identifier;
  const length = 33 + name.length + entry.system.length + (entry.system.length % 2);
  if (length > 255) throw new RangeError("the name of a seed's file is too long");
  const bytes = Buffer.alloc(length);
  bytes[0] = length;
  bytes.set(both32(entry.at), 2);
  bytes.set(both32(entry.size), 10);
  // 1 January 1980: a date of now would give other bytes each time.
  bytes.set([80, 1, 1, 0, 0, 0, 0], 18);
  bytes[25] = entry.isDirectory ? 2 : 0;
  bytes.set(both16(1), 28);
  bytes[32] = entry.identifier.length;
  bytes.set(name, 33);
  bytes.set(entry.system, 33 + name.length);
  return bytes;
}

/** IEEE P1281 §5.3: says in the root that such fields follow. */
const sharingProtocol = Buffer.from([0x53, 0x50, 7, 1, 0xbe, 0xef, 0]);

/** IEEE P1281 §5.5 with the name of IEEE P1282; its descriptions may be empty. */
const extensionReference = Buffer.concat([Buffer.from([0x45, 0x52, 18, 1, 10, 0, 0, 1]), Buffer.from("RRIP_1991A")]);

/** IEEE P1282 §4.1.1 as of 1991: mode, links, owner and group. All is root's alone: user data may hold secrets. */
function posixMode(mode: number, links: number): Uint8Array {
  return Buffer.concat([Buffer.from([0x50, 0x58, 36, 1]), both32(mode), both32(links), both32(0), both32(0)]);
}

const directoryMode = posixMode(0o040500, 2);

/** IEEE P1282 §4.1.4 */
function nameEntry(name: string): Uint8Array {
  const text = Buffer.from(name, "utf8");
  return Buffer.concat([Buffer.from([0x4e, 0x4d, 5 + text.length, 1, 0]), text]);
}

function padded(text: string, length: number): Uint8Array {
  return Buffer.from(text.padEnd(length, " "), "latin1").subarray(0, length);
}

/** Big-endian; filled up with spaces, and with a zero where there is half a character's room. */
function utf16(text: string, length: number): Uint8Array {
  const bytes = Buffer.from(text.padEnd(length >> 1, " ").slice(0, length >> 1), "utf16le").swap16();
  return Buffer.concat([bytes, Buffer.alloc(length % 2)]);
}

/** Both orders after each other (ECMA-119 §7.2.3, §7.3.3). */
function both16(value: number): Uint8Array {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt16LE(value, 0);
  bytes.writeUInt16BE(value, 2);
  return bytes;
}

function both32(value: number): Uint8Array {
  const bytes = Buffer.alloc(8);
  bytes.writeUInt32LE(value, 0);
  bytes.writeUInt32BE(value, 4);
  return bytes;
}
