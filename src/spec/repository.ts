import { z } from "zod";

/**
 * The address of a git repository: https, http or file. What git would take for an option, another transport (`ext::`, `fd::`) or a
 * remote helper is none; names of users and passwords have a way of their own, on which they are kept nowhere.
 */
export const repositoryUrl = z
  .string()
  .max(2048)
  .transform((text, context): string => {
    const fault = faultOf(text);
    if (fault === undefined) return text;
    context.issues.push({ code: "custom", message: fault, input: "an address" });
    return z.NEVER;
  })
  .describe("an https:// address of a git repository; http:// and file:// for repositories that are near");

/** A branch, a tag, or a commit by all of its digits (git-check-ref-format(1)). */
export const repositoryRef = z
  .string()
  .min(1)
  .max(255)
  .refine((ref) => /^[A-Za-z0-9_][A-Za-z0-9_./+@-]*$/.test(ref) && !/\.\.|\/\/|@\{|\.lock(\/|$)|\/\.|[./]$/.test(ref), {
    error: "is no name of a branch or tag, and no commit",
  });

export type RepositoryScheme = "https" | "http" | "file";

/** Of an address that was checked. */
export function schemeOf(url: string): RepositoryScheme {
  return url.slice(0, url.indexOf(":")) as RepositoryScheme;
}

/** One sentence; the address is not repeated, for it may hold a secret. */
function faultOf(text: string): string | undefined {
  if (!/^[\x21-\x7e]+$/.test(text) || /["'`\\<>^{|}]/.test(text)) return "has characters an address does not have; write them as %XX";
  const scheme = /^([a-z][a-z0-9+.-]*):\/\//.exec(text)?.[1];
  if (scheme === undefined || /^[a-z0-9+.-]+::/i.test(text)) return "is no address like https://example.org/project.git";
  if (scheme === "ssh" || scheme === "git" || scheme.startsWith("git+"))
    return `cannot be cloned over ${scheme}; give the https address, and a token with --credential`;
  if (scheme !== "https" && scheme !== "http" && scheme !== "file") return `cannot be cloned over ${scheme}; https, http and file can`;
  if (!URL.canParse(text)) return "is no address like https://example.org/project.git";
  const { username, password, host, pathname, hash } = new URL(text);
  if (username !== "" || password !== "" || /^[a-z]+:\/\/[^/?#]*@/.test(text))
    return "must not have a user or password in it; give them with --credential FILE";
  if (hash !== "") return "must not end in a # part; name a branch with --ref";
  if (scheme === "file") return host === "" && /^file:\/\/\/./.test(text) ? undefined : "must be file:///PATH";
  return pathname.length > 1 ? undefined : "names a server, and no repository on it";
}
