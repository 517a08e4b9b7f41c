import { join } from "node:path";

/** The cache of daemons that are measured (NEXUS_CACHE_DIR), below the checkout. */
export const cacheDirectory = join(import.meta.dirname, "../node_modules/.cache/nexus-vm");

/** Where the mini image that benchmarks boot is built, once. */
export const miniDirectory = join(cacheDirectory, "vm/mini");
