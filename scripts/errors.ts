import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { errorsPage } from "./errors-page.ts";

/** Writes docs/errors.md from the catalogue; a test fails when the page and the catalogue differ. */
writeFileSync(join(import.meta.dirname, "../docs/errors.md"), errorsPage());
