import { z } from "zod";
import { healthSpec, type probe } from "../health.ts";
import { durationText, flag, numeric, refused } from "./values.ts";

const port = numeric(z.number().int().min(1).max(65535));

const httpText = z.string().transform((text, context) =>
  refused(context, (wrong) => {
    const [all, portText = "80", path = "/"] =
      /^(?:http:\/\/(?:localhost|127\.0\.0\.1)?)?(?::([1-9]\d{0,4}))?(\/[\x21-\x7e]*)?$/.exec(text) ?? [];
    if (all === undefined || all === "" || Number(portText) > 65535)
      throw wrong(`"${text}" is no address in the guest; write http://localhost:PORT/PATH or :PORT/PATH`);
    return { port: Number(portText), path };
  }),
);

/** docker compose's keys, with its defaults, and `http` and `tcp` beside `test`. */
export const healthcheck = z
  .strictObject({
    test: z.union([z.string().min(1), z.array(z.string()).min(1)]).optional(),
    http: z
      .union([httpText, z.strictObject({ port: port.default(80), path: z.string().startsWith("/", "begins with /").default("/") })])
      .optional(),
    tcp: z.union([port, z.strictObject({ port })]).optional(),
    disable: flag.default(false),
    interval: durationText.default(30_000),
    timeout: durationText.default(30_000),
    retries: numeric(z.number().int().min(1).max(1000)).default(3),
    start_period: durationText.default(0),
  })
  .transform((check, context): z.input<typeof healthSpec> | undefined =>
    refused(context, (wrong) => {
      const given = [check.test, check.http, check.tcp].filter((one) => one !== undefined);
      if (check.disable || (Array.isArray(check.test) && check.test[0] === "NONE")) return undefined;
      if (given.length !== 1) throw wrong("needs one of test, http and tcp");
      if (check.interval < 100 || check.timeout < 100) throw wrong("an interval or timeout is shorter than 100ms");
      return {
        probe: probeOf(check, wrong),
        intervalMs: check.interval,
        timeoutMs: check.timeout,
        retries: check.retries,
        startPeriodMs: check.start_period,
      };
    }),
  )
  .pipe(healthSpec.optional());

type Given = {
  test?: string | string[] | undefined;
  http?: { port: number; path: string } | undefined;
  tcp?: number | { port: number } | undefined;
};

function probeOf({ test, http, tcp }: Given, wrong: (problem: string) => Error): z.input<typeof probe> {
  if (http !== undefined) return { kind: "http", ...http };
  if (tcp !== undefined) return { kind: "tcp", port: typeof tcp === "number" ? tcp : tcp.port };
  if (typeof test === "string") return { kind: "shell", script: test };
  const [word = "", ...rest] = test ?? [];
  if (word === "CMD-SHELL") {
    if (rest.length !== 1 || rest[0] === "") throw wrong("CMD-SHELL takes one command line");
    return { kind: "shell", script: rest[0] ?? "" };
  }
  const command = word === "CMD" ? rest : [word, ...rest];
  if (command.length === 0 || command[0] === "") throw wrong("the test has no command");
  return { kind: "exec", command };
}
