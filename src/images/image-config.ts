/** The part of an image's configuration that concerns the process it is for. */
export type ImageConfig = {
  entrypoint: string[];
  command: string[];
  env: string[];
  workingDirectory: string;
  user: string;
};

/** A root file system ready to be shared: what a driver puts a guest's own layer over. */
export type RootImage = {
  reference: string;
  key: string;
  lower: string;
  config: ImageConfig;
};

/** Waits for SIGTERM and reaps what is orphaned: for images that have no command of their own. */
export const idleCommand = ["/bin/sh", "-c", "trap 'exit 0' TERM INT; while :; do sleep 86400 & wait $!; done"];
