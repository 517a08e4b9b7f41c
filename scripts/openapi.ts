import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { openapiDocument } from "../src/api/openapi.ts";

/** Writes docs/openapi.json from the route table; a test fails when the file is not what this writes. */
const root = join(import.meta.dirname, "..");
const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { version: string };
writeFileSync(join(root, "docs/openapi.json"), `${JSON.stringify(openapiDocument(version), null, 2)}\n`);
