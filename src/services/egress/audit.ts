import type { EgressReason } from "../../spec/egress.ts";

/** One decision, written when what it allowed has ended. Keys are the words of the audit log. */
export type AuditRecord = {
  /** RFC 3339, when it was asked for. */
  time: string;
  run: string;
  /** Of HTTP, or CONNECT, SOCKS5; "-" when it did not come so far. */
  method: string;
  /** The name or address asked for, in its canonical form; null when it had none. */
  name: string | null;
  port: number | null;
  /** Dialled, or refused as an address. */
  address: string | null;
  decision: "allow" | "deny";
  reason: EgressReason;
  rule: string | null;
  /** From the sandbox to the outside, and back; heads of HTTP included. */
  bytesUp: number;
  bytesDown: number;
  ms: number;
  /** What the reason does not say, in plain words; never raw bytes of the client. */
  detail?: string;
};

/** Takes each record once. Must be cheap, and out of the sandbox's reach. */
export type AuditSink = (record: AuditRecord) => void;

/** One line of JSON in ASCII, so that nothing a client chose can look like another line. */
export function auditLine(record: AuditRecord): string {
  return `${JSON.stringify(record).replace(/[\u007f-\uffff]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`)}\n`;
}
