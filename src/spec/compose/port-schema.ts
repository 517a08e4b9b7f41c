import { z } from "zod";
import { readPublish } from "../flags.ts";
import type { PublishSpec } from "../node.ts";
import { numeric, refused } from "./values.ts";

const form = "write [ADDRESS:]HOST:GUEST[/udp], for example 8080:80, 127.0.0.1:53:53/udp or 8000-8010:8000-8010";

const portOrRange = z.union([z.number().int(), z.string()]);
const port = numeric(z.number().int().min(1).max(65535));

/** The long form, with docker compose's words or with those of the daemon. */
const longForm = z
  .strictObject({
    target: portOrRange.optional(),
    published: portOrRange.optional(),
    host_ip: z.string().optional(),
    protocol: z.enum(["tcp", "udp"]).default("tcp"),
    hostAddress: z.string().optional(),
    hostPort: port.optional(),
    hostPortEnd: port.optional(),
    guestPort: port.optional(),
  })
  .transform((long, context): PublishSpec => {
    const address = long.host_ip ?? long.hostAddress;
    const width = (long.hostPortEnd ?? long.hostPort ?? 0) - (long.hostPort ?? 0);
    const span = (first: number | undefined): string | undefined =>
      first === undefined ? undefined : width > 0 ? `${first}-${first + width}` : `${first}`;
    const host = long.published ?? span(long.hostPort);
    const guest = long.target ?? span(long.guestPort);
    const head = address === undefined ? "" : address.includes(":") ? `[${address}]:` : `${address}:`;
    return refused(context, (wrong) => {
      if (host === undefined) throw wrong("has no published port; a host port is never chosen by chance");
      if (guest === undefined) throw wrong("has no target, the guest's port");
      if (width < 0) throw wrong("the range ends before it starts");
      return readPublish(`${head}${host}:${guest}/${long.protocol}`, wrong);
    });
  });

/** A published port, short or long. */
export const portEntry = z.union([
  z
    .string()
    .max(256)
    .transform((text, context): PublishSpec =>
      refused(context, (wrong) => readPublish(text, (problem) => wrong(`"${text}": ${problem}; ${form}`))),
    ),
  longForm,
]);
