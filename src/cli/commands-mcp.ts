import type { Command, Flag } from "./command.ts";

const guest: readonly Flag[] = [
  { name: "guest", value: "NAME", complete: "guest", summary: "the guest, of any kind" },
  { name: "vm", value: "NAME", complete: "guest", summary: "the same" },
  { name: "node", value: "NAME", complete: "node", summary: "the same" },
];
const path: Flag = { name: "path", value: "PATH", summary: "absolute path inside the guest" };
const part: readonly Flag[] = [
  { name: "offset", value: "BYTES", summary: "pass over so much" },
  { name: "limit", value: "BYTES", summary: "print at most so much (262144)" },
];
const content: readonly Flag[] = [
  { name: "content", value: "TEXT", summary: "what to write" },
  { name: "content-base64", value: "BASE64", summary: "the same for bytes" },
  { name: "append", summary: "add to its end" },
  { name: "mode", value: "OCTAL", summary: "permissions, like 644" },
];
const facility: Flag = { name: "facility", value: "NAME", complete: "facility", summary: "the facility" };
const pathInFacility: Flag = { name: "path", value: "PATH", summary: "path below the facility's directory" };

/** As the shell has the tools; a test compares them with the tools themselves. */
export const mcpCommands: readonly Command[] = [
  {
    path: "mcp serve",
    summary: "serve tools to the assistant that starts this (Model Context Protocol)",
    example: "nexus mcp serve --read-only",
    flags: [{ name: "read-only", summary: "only tools that change nothing" }],
    run: async (c) => (await import("./verbs/mcp.ts")).serve(c),
  },
  one("file_read", {
    summary: "print a file in a guest",
    example: "nexus mcp file_read --vm web --path /etc/resolv.conf",
    flags: [...guest, path, ...part],
  }),
  one("file_write", {
    summary: "write a file in a guest",
    example: "nexus mcp file_write --node web --path /etc/motd --content hello",
    flags: [...guest, path, ...content],
  }),
  one("file_list", {
    summary: "list a directory in a guest",
    example: "nexus mcp file_list --vm web --path /etc",
    flags: [...guest, path, { name: "limit", value: "N", summary: "entries at most (1000)" }],
  }),
  one("file_delete", {
    summary: "delete a file or directory in a guest",
    example: "nexus mcp file_delete --node web --path /tmp/old --recursive",
    flags: [...guest, path, { name: "recursive", summary: "with everything in it" }],
  }),
  one("run_command", {
    summary: "run a command in a guest and print its output",
    example: "nexus mcp run_command --vm web -- uname -a",
    rest: { name: "CMD", from: "dashes" },
    flags: [
      ...guest,
      { name: "command", value: "LINE", summary: "a line for the guest's shell, instead of words after --" },
      { name: "workdir", value: "DIR", summary: "directory to run in" },
      { name: "input", value: "TEXT", summary: "its standard input" },
      { name: "timeout", value: "SECONDS", summary: "time it may take (60)" },
      { name: "max-output", value: "BYTES", summary: "of each output at most (65536)" },
    ],
  }),
  one("run_sandboxed", {
    summary: "run a command in a sandbox and print how it ended and its output",
    example: "nexus mcp run_sandboxed --allow example.com:443 -- curl https://example.com/",
    rest: { name: "CMD", from: "dashes" },
    flags: [
      { name: "command", value: "LINE", summary: "a line of shell, instead of words after --" },
      { name: "profile", value: "PROFILE", complete: ["untrusted", "trusted"], summary: "how far it is trusted (untrusted)" },
      { name: "image", value: "REF", complete: "image", summary: "of profile trusted: the image it runs on (mini)" },
      { name: "allow", value: "HOST:PORT", many: true, summary: "a name it may connect to" },
      { name: "facility", value: "NAME", complete: "facility", summary: "what it works on" },
      { name: "workdir", value: "DIR", summary: "where in it to begin" },
      { name: "env", value: "K=V", many: true, summary: "environment variable" },
      { name: "input", value: "TEXT", summary: "its standard input" },
      { name: "timeout", value: "SECONDS", summary: "time it may take (60)" },
      { name: "mem", value: "MIB", summary: "memory (512)" },
      { name: "max-output", value: "BYTES", summary: "of each output at most (65536)" },
    ],
  }),
  one("guest_list", { summary: "list guests", example: "nexus mcp guest_list" }),
  one("guest_start", { summary: "start a guest", example: "nexus mcp guest_start --vm web", flags: guest }),
  one("guest_stop", {
    summary: "stop a guest",
    example: "nexus mcp guest_stop --vm web --grace 3",
    flags: [...guest, { name: "grace", value: "SECONDS", summary: "time to end by itself (10)" }],
  }),
  one("network_list", { summary: "list networks", example: "nexus mcp network_list" }),
  one("network_why", {
    summary: "say whether a packet passes, and what decides",
    example: "nexus mcp network_why --from web --to db:5432",
    flags: [
      { name: "from", value: "NAME", complete: "guest", summary: "a guest, or an address" },
      { name: "to", value: "NAME[:PORT]", complete: "guest", summary: "where the packet goes" },
      { name: "protocol", value: "tcp|udp|icmp", complete: ["tcp", "udp", "icmp"], summary: "of the packet (tcp)" },
    ],
  }),
  one("facility_read", {
    summary: "print a file in a facility",
    example: "nexus mcp facility_read --facility work --path src/main.c",
    flags: [facility, pathInFacility, ...part],
  }),
  one("facility_write", {
    summary: "write a file in a facility",
    example: "nexus mcp facility_write --facility work --path notes.txt --content hello",
    flags: [facility, pathInFacility, ...content],
  }),
  one("facility_diff", {
    summary: "say what changed in a facility",
    example: "nexus mcp facility_diff --facility work",
    flags: [
      facility,
      { name: "since", value: "create|run", complete: ["create", "run"], summary: "what to compare with (create)" },
      { name: "limit", value: "BYTES", summary: "of the patch at most (65536)" },
    ],
  }),
];

/** The tool a command calls. */
export function toolName(command: Command): string {
  return command.path.replace(/^mcp /, "");
}

function one(tool: string, said: Pick<Command, "summary" | "example" | "flags" | "rest">): Command {
  return { path: `mcp ${tool}`, ...said, run: async (c) => (await import("./verbs/mcp.ts")).call(c) };
}
