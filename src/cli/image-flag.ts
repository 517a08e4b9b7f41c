import { statSync } from "node:fs";
import { resolve } from "node:path";

/**
 * An image as the daemon understands it: it runs in a directory of its own, so a directory named relative to the caller's is made
 * absolute. With a slash and a directory of that name here, the directory is meant.
 */
export function imageFor(text: string, from: { directory: string; home: string | undefined }): string {
  if (text === "~" || text.startsWith("~/")) return from.home === undefined ? text : resolve(from.home, `.${text.slice(1)}`);
  if (/^\.\.?(\/|$)/.test(text)) return resolve(from.directory, text);
  const here = resolve(from.directory, text);
  return text.includes("/") && statSync(here, { throwIfNoEntry: false })?.isDirectory() === true ? here : text;
}

/** As `imageFor`, for what a virtual machine boots: a file, where a container has a directory. */
export function vmImageFor(text: string, from: { directory: string; home: string | undefined }): string {
  if (text.includes("://")) return text;
  const path = imageFor(text, from);
  const here = resolve(from.directory, text);
  return path === text && statSync(here, { throwIfNoEntry: false })?.isFile() === true ? here : path;
}
