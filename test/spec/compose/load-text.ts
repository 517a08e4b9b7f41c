import assert from "node:assert/strict";
import { SpecError } from "../../../src/base/errors.ts";
import { type LoadOptions, loadProject } from "../../../src/spec/compose/load.ts";
import type { Project } from "../../../src/spec/compose/project.ts";

export type Given = Partial<Omit<LoadOptions, "text" | "read">> & { files?: Readonly<Record<string, string>> };

/** A project from text, as if it stood in /p/demo/c.yaml; `files` are those that are there, by absolute path. */
export function load(text: string, given: Given = {}): Project {
  return loadAll(text, given).project;
}

export function loadAll(text: string, { files = {}, ...given }: Given = {}) {
  const read = (path: string): string | undefined => (Object.hasOwn(files, path) ? files[path] : undefined);
  return loadProject({ file: "c.yaml", directory: "/p/demo", env: { HOME: "/home/u" }, read, text, ...given });
}

/** The faults of a text, as they are told. */
export function faults(text: string, given: Given = {}): string[] {
  try {
    load(text, given);
  } catch (error) {
    assert.ok(error instanceof SpecError, String(error));
    assert.ok(
      error.problems.every((problem) => /^\S+:\d+:\d+$/.test(problem.place ?? "")),
      error.message,
    );
    return error.message.split("\n");
  }
  return [];
}

export function vm(project: Project, name = "web") {
  const found = [...project.vms.values()].find((one) => one.service === name);
  assert.ok(found !== undefined, `no vm ${name}`);
  return found;
}

export function node(project: Project, name = "web") {
  const found = [...project.nodes.values()].find((one) => one.service === name);
  assert.ok(found !== undefined, `no node ${name}`);
  return found;
}
