/**
 * All that git is told from outside: no configuration of the host or of a user, nobody to ask, no program to start but its own, and
 * one transport. Protocols are named twice: GIT_ALLOW_PROTOCOL binds what git starts as well (git(1)).
 */
export function gitEnvironment(o: { protocol: string; config?: Readonly<Record<string, string>> }): Record<string, string> {
  const config = Object.entries({ ...always, [`protocol.${o.protocol}.allow`]: "always", ...o.config });
  return {
    PATH: "/usr/bin:/bin",
    LC_ALL: "C.UTF-8",
    HOME: "/nonexistent",
    GIT_CONFIG_NOSYSTEM: "1",
    GIT_CONFIG_GLOBAL: "/dev/null",
    GIT_ATTR_NOSYSTEM: "1",
    GIT_TERMINAL_PROMPT: "0",
    GIT_PROTOCOL_FROM_USER: "0",
    GIT_ALLOW_PROTOCOL: o.protocol,
    GIT_OPTIONAL_LOCKS: "0",
    GIT_CONFIG_COUNT: String(config.length),
    ...Object.fromEntries(
      config.flatMap(([key, value], i) => [
        [`GIT_CONFIG_KEY_${i}`, key],
        [`GIT_CONFIG_VALUE_${i}`, value],
      ]),
    ),
  };
}

const always: Readonly<Record<string, string>> = {
  "protocol.allow": "never",
  "core.hooksPath": "/dev/null",
  "core.fsmonitor": "false",
  "core.attributesFile": "/dev/null",
  "core.excludesFile": "/dev/null",
  "core.sshCommand": "/bin/false",
  "core.protectHFS": "true",
  "core.protectNTFS": "true",
  "submodule.recurse": "false",
  "fetch.recurseSubmodules": "false",
  "credential.interactive": "false",
  "http.lowSpeedLimit": "1",
  "http.lowSpeedTime": "60",
  "gc.auto": "0",
  "maintenance.auto": "false",
  "advice.detachedHead": "false",
};
