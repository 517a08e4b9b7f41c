import { existsSync, globSync, readFileSync, realpathSync } from "node:fs";
import { basename, join } from "node:path";
import { NexusError } from "../base/errors.ts";
import type { CpioEntry } from "./vm-cpio.ts";
import { readElfNeeds } from "./vm-elf.ts";

/**
 * A program and everything its loader will look for, found below an unpacked `tree` and nowhere else, so that the host's
 * own libraries have no say. Libraries go where every loader looks.
 * @throws NexusError `image-missing` naming the library that is not there
 */
export function withLibraries(tree: string, program: { from: string; to: string }): CpioEntry[] {
  const entries: CpioEntry[] = [];
  const done = new Set<string>();
  const add = (file: string, to: string): void => {
    const content = readFileSync(file);
    entries.push({ path: to, kind: "file", mode: 0o755, content });
    const needs = readElfNeeds(content);
    if (needs.interpreter !== undefined) want(basename(needs.interpreter), needs.interpreter.slice(1));
    for (const library of needs.libraries) want(library, `lib/${library}`);
  };
  const want = (library: string, to: string): void => {
    if (done.has(library)) return;
    done.add(library);
    add(findLibrary(tree, library), to);
  };
  add(join(tree, program.from), program.to);
  return entries;
}

function findLibrary(tree: string, name: string): string {
  if (!/^[\w.+-]+$/.test(name)) throw new NexusError("image-missing", `a library cannot be called ${JSON.stringify(name)}`);
  const found = globSync([`{usr/,}lib{,64}/${name}`, `{usr/,}lib/*-linux-gnu/${name}`], { cwd: tree }).map((path) => join(tree, path));
  const file = found.find((path) => existsSync(path));
  if (file === undefined) throw new NexusError("image-missing", `none of the packages of the mini image has the library ${name}`);
  return realpathSync(file);
}
