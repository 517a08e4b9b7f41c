import type { Command, Flag } from "./command.ts";

const kinds: readonly Flag[] = [
  { name: "vm", summary: "an image for virtual machines" },
  { name: "oci", summary: "an image for nodes" },
];

/** Images of nodes and of virtual machines. */
export const imageCommands: readonly Command[] = [
  { path: "image ls", summary: "list images", example: "nexus image ls", run: async (c) => (await import("./verbs/image.ts")).list(c) },
  {
    path: "image pull",
    summary: "fetch an image: of a registry for nodes; a publisher's or an address for virtual machines",
    example: "nexus image pull debian-12",
    args: [{ name: "REF" }],
    flags: [...kinds, { name: "checksum", value: "sha256:…", summary: "what the file at an address must hash to (or write it after #)" }],
    run: async (c) => (await import("./verbs/image.ts")).pull(c),
  },
  {
    path: "image build",
    summary: "build an image on this host: mini, for virtual machines",
    example: "nexus image build mini",
    args: [{ name: "NAME", complete: ["mini"] }],
    run: async (c) => (await import("./verbs/image.ts")).build(c),
  },
  {
    path: "image rm",
    summary: "remove images",
    example: "nexus image rm docker.io/library/alpine:3",
    args: [{ name: "REF", complete: "image" }],
    rest: { name: "REF", from: "names" },
    flags: kinds,
    run: async (c) => (await import("./verbs/image.ts")).remove(c),
  },
];
