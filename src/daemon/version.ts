import manifest from "../../package.json" with { type: "json" };

/** Of this checkout or package. */
export const version: string = manifest.version;
