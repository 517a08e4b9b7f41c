import { NexusError } from "../base/errors.ts";

/** Where an OCI image is: registry host, repository, and a tag or a digest. */
export type ImageReference = {
  registry: string;
  repository: string;
  tag: string | undefined;
  digest: string | undefined;
};

const domain = /^(\[[0-9a-fA-F:]+\]|[a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?(\.[a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?)*)(:\d{1,5})?$/;
const pathPart = /^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*$/;
const tagText = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$/;
const digestText = /^sha256:[0-9a-f]{64}$/;

/**
 * Reads `[host[:port]/]path[:tag][@digest]` as container tools do: the first part is a host when it has a dot or a port or is
 * `localhost`; without one it is Docker Hub, whose one-word names live under `library/`.
 * @throws NexusError `usage` with what is wrong
 */
export function parseReference(text: string): ImageReference {
  const fault = (problem: string): never => {
    throw new NexusError("usage", `"${text}" is no image reference: ${problem}`, {
      hint: "like alpine:3.20, registry.example.org/team/app:1.0, or the path of a directory",
    });
  };
  const [beforeDigest = "", digest, ...more] = text.split("@");
  if (more.length > 0) fault("it has more than one @");
  if (digest !== undefined && !digestText.test(digest)) fault("its digest is not sha256: and 64 hexadecimal digits");
  const colon = beforeDigest.lastIndexOf(":");
  const hasTag = colon > beforeDigest.lastIndexOf("/");
  const name = hasTag ? beforeDigest.slice(0, colon) : beforeDigest;
  const tag = hasTag ? beforeDigest.slice(colon + 1) : undefined;
  if (tag !== undefined && !tagText.test(tag)) fault(`"${tag}" is no tag`);
  const { registry, path } = splitHost(name);
  if (!domain.test(registry)) fault(`"${registry}" is no registry host`);
  if (path.length === 0 || path.length > 255 || !path.split("/").every((part) => pathPart.test(part))) {
    fault("a repository has lower-case letters and digits, joined by ., _ or -, and parted by /");
  }
  return { registry, repository: path, tag: tag ?? (digest === undefined ? "latest" : undefined), digest };
}

export function formatReference(reference: ImageReference): string {
  const tag = reference.tag === undefined ? "" : `:${reference.tag}`;
  const digest = reference.digest === undefined ? "" : `@${reference.digest}`;
  return `${reference.registry}/${reference.repository}${tag}${digest}`;
}

/** Whether a text could only be a path of the host. */
export function isDirectoryReference(text: string): boolean {
  return text.startsWith("/") || text.startsWith("./") || text.startsWith("../");
}

function splitHost(name: string): { registry: string; path: string } {
  const slash = name.indexOf("/");
  const first = slash === -1 ? "" : name.slice(0, slash);
  if (first.includes(".") || first.includes(":") || first === "localhost") {
    return first === "index.docker.io"
      ? { registry: "docker.io", path: name.slice(slash + 1) }
      : { registry: first, path: name.slice(slash + 1) };
  }
  return { registry: "docker.io", path: slash === -1 ? `library/${name}` : name };
}
