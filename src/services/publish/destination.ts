import type { Ip } from "../../base/ip.ts";

/** Where a carried port leads: an address and port of a guest. */
export type Destination = { address: Ip; port: number };

/** An open port. Disposing it ends what goes through it. */
export type Carrier = Disposable & {
  /** Resolves when the port is open, or the carrier disposed. @throws the kernel's refusal */
  opened: Promise<void>;
};

/** The only address carried: the kernel routes no packet that leaves from it (RFC 4291 §2.5.3), so translation cannot. */
export const loopback6 = "::1";
