import { existsSync, readFileSync } from "node:fs";
import type { Setting } from "../api/answers.ts";
import { NexusError } from "../base/errors.ts";
import { type Config, configFiles, defaultConfig } from "../spec/config.ts";
import type { Surroundings } from "../spec/places.ts";
import { parseSetting, settingKeys, settingMeaning, settingOf, withSettings } from "../spec/settings.ts";
import type { SettingTable } from "../state/settings.ts";

export type ConfigFile = { file: string | undefined; config: Config };

/** The configuration file's content, or the defaults when there is none. @throws SpecError with every problem and its place */
export async function readConfig(named: string | undefined, surroundings: Surroundings): Promise<ConfigFile> {
  const file = named ?? configFiles(surroundings).find((path) => existsSync(path));
  if (file === undefined) return { file: undefined, config: defaultConfig() };
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (error) {
    throw new NexusError(
      "not-found",
      `configuration file ${file} cannot be read: ${error instanceof Error ? error.message : String(error)}`,
      { hint: "name another with --config", cause: error },
    );
  }
  // The YAML library is only for this: most hosts have no file.
  const { parseConfig } = await import("../spec/config-file.ts");
  return { file, config: parseConfig(text, file) };
}

/** The configuration in force: the file's, and over it what `nexus config set` stored. */
export class Settings {
  readonly file: string | undefined;
  readonly #fromFile: Config;
  readonly #table: SettingTable;
  readonly #atStart: Config;
  readonly #followers: ((config: Config) => void)[] = [];
  readonly #checks: ((next: Config, key: string) => void)[] = [];
  #current: Config;

  constructor(source: ConfigFile, table: SettingTable) {
    this.file = source.file;
    this.#fromFile = source.config;
    this.#table = table;
    this.#current = withSettings(source.config, table.all());
    this.#atStart = this.#current;
  }

  /** Calls with the configuration in force, now and whenever it changes. */
  follow(use: (config: Config) => void): void {
    this.#followers.push(use);
    use(this.#current);
  }

  /** Calls before a change of a key; what it throws refuses that. */
  vet(check: (next: Config, key: string) => void): void {
    this.#checks.push(check);
  }

  get config(): Config {
    return this.#current;
  }

  all(): Setting[] {
    return Object.keys(settingKeys).map((key) => this.get(key));
  }

  /** @throws NexusError not-found */
  get(key: string): Setting {
    const value = settingOf(this.#current, key);
    const stored = this.#table.all().has(key);
    const same = (config: Config) => JSON.stringify(value) === JSON.stringify(settingOf(config, key));
    const isDefault = same(defaultConfig());
    const restartNeeded = heldAtStart.has(key) && !same(this.#atStart);
    const source = stored ? "stored" : isDefault ? "default" : "file";
    return { key, value, source, summary: settingMeaning(key), ...(restartNeeded ? { restartNeeded } : {}) };
  }

  /** Holds from now on, and after a restart. @throws NexusError not-found; SpecError */
  set(key: string, given: unknown): Setting {
    const { value } = parseSetting(key, given);
    const next = withSettings(this.#fromFile, new Map([...this.#table.all(), [key, value]]));
    for (const check of this.#checks) check(next, key);
    this.#table.set(key, value);
    this.#change(next);
    return this.get(key);
  }

  /** Forgets what `set` stored: the file's value, or the default, holds again. @throws NexusError not-found; SpecError */
  unset(key: string): Setting {
    settingOf(this.#fromFile, key);
    const stored = this.#table.all();
    stored.delete(key);
    const next = withSettings(this.#fromFile, stored);
    for (const check of this.#checks) check(next, key);
    this.#table.delete(key);
    this.#change(next);
    return this.get(key);
  }

  #change(next: Config): void {
    this.#current = next;
    for (const use of this.#followers) use(next);
  }
}

/** Settings that running guests already carry with them. */
const heldAtStart = new Set(["dns.domain"]);
