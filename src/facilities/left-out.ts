import { nameOf } from "../guests/guest-files.ts";

/** What could not be taken, and why. */
export type LeftOutFile = { path: string; why: string };

/** Counts what is left out, and names the first hundred. */
export class LeftOut {
  readonly files: LeftOutFile[] = [];
  count = 0;

  add(path: Buffer, why: string): void {
    this.count++;
    if (this.files.length < namedAtMost) this.files.push({ path: nameOf(path).name, why });
  }
}

const namedAtMost = 100;
