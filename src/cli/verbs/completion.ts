import type { NameSource } from "../command.ts";
import { candidatesFor } from "../complete.ts";
import type { VerbContext } from "../context.ts";
import type { Client } from "../../api/client.ts";
import { NexusError } from "../../base/errors.ts";

/** How long completing a name may wait for the daemon. */
const namesDeadlineMs = 400;

/** A script that asks `nexus __complete` for candidates, so it never grows old. */
export function script(c: VerbContext): Promise<void> {
  const shell = c.arg("SHELL");
  if (shell !== "bash" && shell !== "zsh" && shell !== "fish") {
    throw new NexusError("usage", `nexus completion: no script for "${shell}"`, { hint: "bash, zsh and fish are known" });
  }
  c.io.stdout.write(scripts[shell]);
  return Promise.resolve();
}

/** One candidate per line for the last word; with nothing to offer, nothing. */
export async function candidates(c: VerbContext): Promise<void> {
  const found = candidatesFor(c.rest);
  const names = found.source === undefined ? [] : await namesFrom(found.source, c);
  const lines = [...found.words, ...names].filter((word) => word.startsWith(found.prefix));
  c.io.stdout.write(lines.map((line) => `${line}\n`).join(""));
}

async function namesFrom(source: NameSource, c: VerbContext): Promise<readonly string[]> {
  if (typeof source !== "string") return source;
  try {
    if (source === "service" || source === "project-guest") return await servicesHere(source, c);
    return await askNames(source, await c.runningClient());
  } catch {
    return [];
  }
}

async function servicesHere(source: "service" | "project-guest", c: VerbContext): Promise<string[]> {
  const { openProject } = await import("../compose/open.ts");
  const { guestsOf, servicesOf } = await import("../../spec/compose/project.ts");
  const project = openProject(c, { allProfiles: true });
  return (source === "service" ? servicesOf(project) : guestsOf(project)).map(({ service }) => service);
}

async function askNames(source: Exclude<NameSource, readonly string[] | "service" | "project-guest">, client: Client): Promise<string[]> {
  const limit = { timeoutMs: namesDeadlineMs };
  switch (source) {
    case "network":
      return (await client.call("network.list", {}, limit)).map((n) => n.name);
    case "node":
      return (await client.call("node.list", {}, limit)).map((n) => n.name);
    case "vm":
      return (await client.call("vm.list", {}, limit)).map((n) => n.name);
    case "attachment":
      return (await client.call("attachment.list", {}, limit)).map((n) => n.name);
    case "guest":
      return (await client.call("guest.list", {}, limit)).map((n) => n.name);
    case "volume":
      return (await client.call("volume.list", {}, limit)).map((v) => v.name);
    case "run":
      return (await client.call("run.list", {}, limit)).map((r) => r.id);
    case "facility":
      return (await client.call("facility.list", {}, limit)).map((f) => f.name);
    case "image":
      return (await client.call("image.list", {}, limit)).map((i) => i.reference);
    case "setting":
      return (await client.call("config.show", {}, limit)).settings.map((s) => s.key);
    case "file":
      return [];
  }
}

const scripts = {
  bash: `# bash completion for nexus
_nexus() {
  local IFS=$'\\n'
  COMPREPLY=($("\${COMP_WORDS[0]}" __complete -- "\${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
  [ \${#COMPREPLY[@]} -gt 0 ] || COMPREPLY=($(compgen -f -- "\${COMP_WORDS[COMP_CWORD]}"))
}
complete -o filenames -F _nexus nexus nexusctl
`,
  zsh: `#compdef nexus nexusctl
_nexus() {
  local -a found
  found=("\${(@f)$("\${words[1]}" __complete -- "\${(@)words[2,CURRENT]}" 2>/dev/null)}")
  if [[ -n "\${found[1]}" ]]; then compadd -- "\${found[@]}"; else _files; fi
}
compdef _nexus nexus nexusctl
`,
  fish: `# fish completion for nexus
function __nexus_complete
  set -l words (commandline -opc)
  $words[1] __complete -- $words[2..-1] (commandline -ct) 2>/dev/null
end
complete -c nexus -c nexusctl -a '(__nexus_complete)'
`,
} as const;
