import { readFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { z } from "zod";
import { NexusError } from "../base/errors.ts";
import { isHostShort, systemRefusal } from "../base/system-error.ts";

/** What a registry asks for in `WWW-Authenticate` (RFC 9110 §11.6.1; the Bearer parameters are the distribution project's). */
export type Challenge = { scheme: "basic" } | { scheme: "bearer"; realm: string; service: string | undefined; scope: string | undefined };

/** The first challenge that can be answered. */
export function parseChallenge(header: string): Challenge | undefined {
  const bearer = /(?:^|,)\s*bearer\s+(.*)$/i.exec(header)?.[1];
  if (bearer !== undefined) {
    const parameters = new Map<string, string>();
    for (const match of bearer.matchAll(/([a-z_]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))/gi)) {
      parameters.set((match[1] ?? "").toLowerCase(), (match[2] ?? match[3] ?? "").replaceAll(/\\(.)/g, "$1"));
    }
    const realm = parameters.get("realm");
    if (realm !== undefined) return { scheme: "bearer", realm, service: parameters.get("service"), scope: parameters.get("scope") };
  }
  return /(?:^|,)\s*basic\b/i.test(header) ? { scheme: "basic" } : undefined;
}

/** `user:password` in base64 for a registry, from the file other container tools log in to; undefined when it has none. */
export function storedCredentials(
  registry: string,
  file: string = join(process.env.DOCKER_CONFIG ?? join(homedir(), ".docker"), "config.json"),
): string | undefined {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (error) {
    if (isHostShort(error)) throw systemRefusal(error, `read the login file ${file}`) ?? error;
    return undefined;
  }
  let parsed: z.output<typeof loginFile>;
  try {
    parsed = loginFile.parse(JSON.parse(text));
  } catch (error) {
    throw new NexusError("image-missing", `${file} is not understood`, {
      cause: error,
      hint: "log in again with your container tool, or move the file away",
    });
  }
  const names =
    registry === "docker.io"
      ? ["https://index.docker.io/v1/", "docker.io", "index.docker.io", "registry-1.docker.io"]
      : [registry, `https://${registry}`, `https://${registry}/v1/`, `https://${registry}/v2/`];
  for (const name of names) {
    const entry = parsed.auths?.[name];
    if (entry?.auth !== undefined && entry.auth !== "") return entry.auth;
    if (entry?.username !== undefined) return Buffer.from(`${entry.username}:${entry.password ?? ""}`).toString("base64");
  }
  return undefined;
}

/** Fetches a token for pulling. @throws NexusError `image-missing` with the server's answer; the signal's reason */
export async function fetchToken(
  challenge: Extract<Challenge, { scheme: "bearer" }>,
  request: { scope: string; credentials: string | undefined; signal: AbortSignal },
): Promise<string> {
  const url = URL.parse(challenge.realm);
  if (url === null) throw new NexusError("image-missing", `the registry asks for a token from "${challenge.realm}", which is no address`);
  if (url.protocol !== "https:" && !isLoopbackHost(url.hostname))
    throw new NexusError("image-missing", `the registry asks for a token from ${url.origin}, which is not encrypted`);
  if (challenge.service !== undefined) url.searchParams.set("service", challenge.service);
  url.searchParams.set("scope", challenge.scope ?? request.scope);
  const response = await fetch(url, {
    signal: request.signal,
    headers: request.credentials === undefined ? {} : { authorization: `Basic ${request.credentials}` },
  }).catch((error: unknown) => {
    request.signal.throwIfAborted();
    throw new NexusError("image-missing", `${url.host}, which gives tokens for the registry, cannot be reached`, { cause: error });
  });
  if (!response.ok)
    throw new NexusError("image-missing", `${url.origin} refused a token: ${response.status}`, {
      hint: "log in to the registry, or check the image's name",
    });
  const body = tokenAnswer.safeParse(await response.json().catch(() => undefined));
  request.signal.throwIfAborted();
  const token = body.data?.token ?? body.data?.access_token;
  if (token === undefined) throw new NexusError("image-missing", `${url.origin} answered without a token`);
  return token;
}

/** Names and addresses that never leave this host. */
export function isLoopbackHost(host: string): boolean {
  return host === "localhost" || host === "::1" || host === "[::1]" || /^127\.\d{1,3}\.\d{1,3}\.\d{1,3}$/.test(host);
}

const loginFile = z.object({
  auths: z
    .record(z.string(), z.object({ auth: z.string().optional(), username: z.string().optional(), password: z.string().optional() }))
    .optional(),
});
const tokenAnswer = z.object({ token: z.string().optional(), access_token: z.string().optional() });
