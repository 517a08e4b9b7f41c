import { type Config, config } from "./config.ts";
import { parseYaml } from "./yaml.ts";

/** nexus.yaml as text; `file` is only named. @throws SpecError with every problem and its place */
export function parseConfig(text: string, file: string): Config {
  return parseYaml(config, text, file);
}
