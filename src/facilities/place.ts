/** Where one facility's files are, and whose. */
export type FacilityPlace = {
  /** The daemon's alone, 0700: the disk, what was remembered of the files, output of runs. */
  directory: string;
  /** What a sandbox is given to write in. What lies there is hostile. */
  workspace: string;
  owner: { uid: number; gid: number };
};

/** How facilities are kept: each on a disk of its own, or as directories whose size is watched. */
export type FacilityDisks = {
  placeOf(name: string, index: number): FacilityPlace;
  /** Makes it, empty and open. What a crash left of another attempt is replaced. @throws NexusError `too-large`, `runtime-missing`, `unsupported` */
  make(place: FacilityPlace, bytes: number): Promise<void>;
  /** The workspace is there when it resolves. May be repeated. @throws NexusError; KernelError */
  open(place: FacilityPlace): Promise<void>;
  /** Everything written is on the disk; false while somebody uses it. May be repeated. */
  close(place: FacilityPlace): Promise<boolean>;
  /** Takes it and everything in it away; absent is fine. */
  remove(place: FacilityPlace): Promise<void>;
  /** Bytes taken in the workspace; undefined when that cannot be said without opening it. */
  used(place: FacilityPlace): Promise<number | undefined>;
  /**
   * Aborts once more than that is taken; never where the disk itself ends there. Disposing ends the watch.
   */
  watch(place: FacilityPlace, bytes: number): Disposable & { readonly full: AbortSignal };
};
