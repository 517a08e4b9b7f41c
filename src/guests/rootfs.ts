/** What to run when the request does not say: the part of an OCI image's configuration that concerns a process. */
export type ImageConfig = {
  entrypoint: string[];
  command: string[];
  /** `NAME=value` lines. */
  env: string[];
  workingDirectory: string;
  /** `user`, `uid`, `user:group` or `uid:gid`; empty means root. */
  user: string;
};

/** A root file system to put a guest's own layer over. It is shared and never written to. */
export type RootImage = {
  /** What it was asked as. */
  reference: string;
  /** Changes when, and only when, the content does. */
  key: string;
  lower: string;
  config: ImageConfig;
};

/** Where a driver gets root file systems; the daemon supplies the image store. */
export type ImageSource = {
  /** @throws NexusError `image-missing` saying what was tried */
  resolve(reference: string, progress: (line: string) => void, signal?: AbortSignal): Promise<RootImage>;
  /** Marks the image as used by a guest, so that it is not removed below its feet. Repeatable. */
  hold(image: RootImage, guestId: string): void;
  release(guestId: string): void;
};
