/** Where publishers keep their images. Tests put a server of their own in place of one. */
export const publishers = {
  almalinux: "https://repo.almalinux.org/almalinux",
  alpine: "https://dl-cdn.alpinelinux.org/alpine",
  debian: "https://cloud.debian.org/images/cloud",
  fedora: "https://dl.fedoraproject.org/pub/fedora/linux",
  rocky: "https://download.rockylinux.org/pub/rocky",
  ubuntu: "https://cloud-images.ubuntu.com",
} as const;

export type Publisher = keyof typeof publishers;
export type PublisherBases = Record<Publisher, string>;

/** An image that is known by a short name: where it is, and where its publisher says what it must hash to. */
export type VmAlias = { name: string; url: string; checksums: string; /** Who cloud-init gives the SSH keys to. */ user: string };

type Entry = { publisher: Publisher; user: string; image: PerArchitecture; checksums: PerArchitecture };
/** Paths below the publisher's place. */
type PerArchitecture = { x64: string; arm64: string };

const aliases: Record<string, Entry> = {
  "almalinux-9": {
    publisher: "almalinux",
    user: "almalinux",
    ...both((arch) => ({
      image: `9/cloud/${arch.uname}/images/AlmaLinux-9-GenericCloud-latest.${arch.uname}.qcow2`,
      checksums: `9/cloud/${arch.uname}/images/CHECKSUM`,
    })),
  },
  "alpine-3.21": alpine("3.21", "3.21.2"),
  "alpine-3.22": alpine("3.22", "3.22.1"),
  "alpine-3.23": alpine("3.23", "3.23.4"),
  "debian-11": debian("bullseye", "11"),
  "debian-12": debian("bookworm", "12"),
  "debian-13": debian("trixie", "13"),
  "fedora-42": fedora("42", "1.1"),
  "fedora-43": fedora("43", "1.6"),
  "rocky-9": {
    publisher: "rocky",
    user: "rocky",
    ...both((arch) => ({
      image: `9/images/${arch.uname}/Rocky-9-GenericCloud-Base.latest.${arch.uname}.qcow2`,
      checksums: `9/images/${arch.uname}/Rocky-9-GenericCloud-Base.latest.${arch.uname}.qcow2.CHECKSUM`,
    })),
  },
  "ubuntu-22.04": ubuntu("jammy", "22.04"),
  "ubuntu-24.04": ubuntu("noble", "24.04"),
};

/** Names without a version mean these. */
const newest: Record<string, string> = {
  almalinux: "almalinux-9",
  alpine: "alpine-3.22",
  debian: "debian-13",
  fedora: "fedora-43",
  rocky: "rocky-9",
  ubuntu: "ubuntu-24.04",
};

export const aliasNames: readonly string[] = [...Object.keys(aliases), ...Object.keys(newest)].toSorted();

/** What a short name means on this kind of processor; undefined when it is none. */
export function findAlias(name: string, options: { arch: "x64" | "arm64"; bases?: Partial<PublisherBases> }): VmAlias | undefined {
  const full = Object.hasOwn(newest, name) ? (newest[name] ?? name) : name;
  const entry = Object.hasOwn(aliases, full) ? aliases[full] : undefined;
  if (entry === undefined) return undefined;
  const base = options.bases?.[entry.publisher] ?? publishers[entry.publisher];
  const at = (path: string): string => `${base}/${path}`;
  return { name: full, url: at(entry.image[options.arch]), checksums: at(entry.checksums[options.arch]), user: entry.user };
}

/** Whether it is an alias that no registry's image is likely to be called by. */
export function isVersionedAlias(name: string): boolean {
  return Object.hasOwn(aliases, name);
}

/** How publishers call the two kinds of processor. */
type Architecture = { uname: "x86_64" | "aarch64"; debian: "amd64" | "arm64" };

function both(paths: (arch: Architecture) => { image: string; checksums: string }): Pick<Entry, "image" | "checksums"> {
  const x64 = paths({ uname: "x86_64", debian: "amd64" });
  const arm64 = paths({ uname: "aarch64", debian: "arm64" });
  return { image: { x64: x64.image, arm64: arm64.image }, checksums: { x64: x64.checksums, arm64: arm64.checksums } };
}

/** "generic" and not "genericcloud": its kernel knows what emulated machines have beside virtio, and 9p. */
function debian(codename: string, version: string): Entry {
  return {
    publisher: "debian",
    user: "debian",
    ...both((arch) => ({
      image: `${codename}/latest/debian-${version}-generic-${arch.debian}.qcow2`,
      checksums: `${codename}/latest/SHA512SUMS`,
    })),
  };
}

function ubuntu(codename: string, version: string): Entry {
  return {
    publisher: "ubuntu",
    user: "ubuntu",
    ...both((arch) => ({
      image: `releases/${codename}/release/ubuntu-${version}-server-cloudimg-${arch.debian}.img`,
      checksums: `releases/${codename}/release/SHA256SUMS`,
    })),
  };
}

/** x86 images for a BIOS, which is what a virtual machine has here unless it asks for UEFI. */
function alpine(branch: string, version: string): Entry {
  const image = (arch: Architecture): string => {
    const firmware = arch.uname === "x86_64" ? "bios" : "uefi";
    return `v${branch}/releases/cloud/nocloud_alpine-${version}-${arch.uname}-${firmware}-cloudinit-r0.qcow2`;
  };
  return {
    publisher: "alpine",
    user: "alpine",
    ...both((arch) => ({ image: image(arch), checksums: `${image(arch)}.sha512` })),
  };
}

/** Their list is named after the compose, not after the image. */
function fedora(version: string, compose: string): Entry {
  return {
    publisher: "fedora",
    user: "fedora",
    ...both((arch) => ({
      image: `releases/${version}/Cloud/${arch.uname}/images/Fedora-Cloud-Base-Generic-${version}-${compose}.${arch.uname}.qcow2`,
      checksums: `releases/${version}/Cloud/${arch.uname}/images/Fedora-Cloud-${version}-${compose}-${arch.uname}-CHECKSUM`,
    })),
  };
}
