import type { RunSpec } from "../spec/run.ts";

/** All variables of a run: built from nothing, never the daemon's own. What the user gives wins. */
export function environmentOf(
  spec: Pick<RunSpec, "env" | "terminal">,
  o: { home: string; proxyPort: number | undefined; image?: readonly string[] | undefined },
): Record<string, string> {
  return {
    PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    LANG: "C.UTF-8",
    // Where its programs are is the image's to say.
    ...Object.fromEntries((o.image ?? []).map(parseVariable)),
    HOME: o.home,
    ...(spec.terminal === undefined ? {} : { TERM: "xterm" }),
    ...(o.proxyPort === undefined ? {} : proxyVariables(o.proxyPort)),
    ...spec.env,
  };
}

function parseVariable(line: string): [name: string, value: string] {
  const [name = "", ...value] = line.split("=");
  return [name, value.join("=")];
}

/** Both spellings: curl heeds only the small http_proxy, others only the large ones. */
function proxyVariables(port: number): Record<string, string> {
  const proxy = `http://127.0.0.1:${port}`;
  const values = { HTTP_PROXY: proxy, HTTPS_PROXY: proxy, ALL_PROXY: `socks5h://127.0.0.1:${port}`, NO_PROXY: "localhost,127.0.0.1,::1" };
  return Object.fromEntries(
    Object.entries(values).flatMap(([name, value]) => [[name, value] as const, [name.toLowerCase(), value] as const]),
  );
}
