import { createHash } from "node:crypto";
import type { Ip } from "../base/ip.ts";
import type { Mac } from "../base/mac.ts";
import type { IfName } from "../base/names.ts";
import type { Cidr, Prefix } from "../base/prefix.ts";
import type { ShareType } from "../spec/vm.ts";
import type { ProvisionStep, VmMount } from "../spec/vm-setup.ts";
import { checkCloudInit } from "./cloud-check.ts";
import { cloudConfig } from "./cloud-config.ts";
import { networkConfig } from "./cloud-network.ts";
import { userDataOf } from "./cloud-user-data.ts";
import { cloudYaml } from "./cloud-yaml.ts";
import type { SeedFile } from "./seed-iso.ts";

/** One network card of a guest, known by its MAC address whatever the guest calls it at first. */
export type CloudNic = {
  /** What the guest calls it from then on. */
  name: IfName;
  mac: Mac;
  mtuBytes?: number;
  dhcp4: boolean;
  dhcp6: boolean;
  /** Whether router advertisements are heeded; by default the guest decides. */
  acceptRa?: boolean;
  /** Beside those of DHCP. */
  addresses?: readonly Cidr[];
  routes?: readonly CloudRoute[];
  nameservers?: readonly Ip[];
  searchDomains?: readonly string[];
};

/** A default route is to 0.0.0.0/0 or ::/0. */
export type CloudRoute = { to: Prefix; via: Ip; metric?: number };

/** A file of the guest, made at its first boot. */
export type CloudFile = {
  path: string;
  content: string | Uint8Array;
  /** Octal digits; 0644 by default. */
  mode?: string;
  /** `user` or `user:group`; root by default. */
  owner?: string;
};

/** What a guest with cloud-init is to become. */
export type CloudInit = {
  /** Two guests with the same wishes are still two. */
  guestId: string;
  hostname: string;
  fqdn?: string;
  /** The name of the user who gets the keys and sudo; by default the image's own: debian, ubuntu, … */
  user?: string;
  authorizedKeys?: readonly string[];
  /** The guest's own SSH key, so that who connects can know it before the first boot. By default it makes some. */
  hostKey?: { privateKey: string; publicLine: string };
  /** Any form cloud-init reads. What it says goes before what Nexus would say; lists are joined. */
  userData?: string;
  packages?: readonly string[];
  environment?: Readonly<Record<string, string>>;
  files?: readonly CloudFile[];
  /** Mounted at each boot. A disk that is all zeros gets a file system first. */
  mounts?: readonly VmMount[];
  /** By what it mounts directories of the host; 9p by default. */
  shareType?: ShareType;
  /** Done in order at the first boot, after all else; the first that fails ends it. A script may be any program (`#!`). */
  provision?: readonly ProvisionStep[];
  /** Installs and starts qemu-guest-agent. */
  agent?: boolean;
  /** None leaves the network to the image, which mostly asks for DHCP on every card. */
  nics?: readonly CloudNic[];
};

export type CloudSeed = {
  /** Changes with anything below: cloud-init then takes the guest for a new one, and does all of it again. */
  instanceId: string;
  metaData: string;
  userData: string;
  networkConfig: string | undefined;
};

/** The texts of a NoCloud seed. @throws SpecError with everything that is wrong */
export function cloudSeed(wish: CloudInit): CloudSeed {
  checkCloudInit(wish);
  const userData = userDataOf(cloudConfig(wish), wish.userData);
  const network = wish.nics === undefined || wish.nics.length === 0 ? undefined : cloudYaml(networkConfig(wish.nics));
  const all = JSON.stringify([wish.guestId, wish.hostname, wish.fqdn ?? null, userData, network ?? null]);
  const instanceId = `nexus-${createHash("sha256").update(all).digest("hex").slice(0, 32)}`;
  const metaData = cloudYaml({ "instance-id": instanceId, "local-hostname": wish.hostname });
  return { instanceId, metaData, userData, networkConfig: network };
}

/** What to write into the seed's image; see writeSeedIso. */
export function seedFiles(seed: CloudSeed): SeedFile[] {
  const files = { "meta-data": seed.metaData, "user-data": seed.userData, "network-config": seed.networkConfig };
  return Object.entries(files).flatMap(([name, text]) => (text === undefined ? [] : [{ name, content: Buffer.from(text) }]));
}
