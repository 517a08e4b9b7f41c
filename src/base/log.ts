export type LogFields = Record<string, unknown>;

/** What the rooms log through; the daemon supplies pino, tests a recorder. Fields first, then one short sentence. */
export type Log = {
  debug(fields: LogFields, message: string): void;
  info(fields: LogFields, message: string): void;
  warn(fields: LogFields, message: string): void;
  error(fields: LogFields, message: string): void;
};

export const silentLog: Log = { debug() {}, info() {}, warn() {}, error() {} };
