import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { EgressPolicyInput, EgressReason } from "../../../src/spec/egress.ts";

/** How a destination is asked for. `socks5-ip` sends an address as bytes; `raw` is the bytes of the case as they are. */
export type CorpusTransport = "http" | "connect" | "socks5" | "socks5-ip" | "raw";

export type Expectation = {
  verdict: "allow" | "deny";
  reason: EgressReason;
  rule?: string | null;
  /** In the audit line; null when the destination had no canonical form. */
  name?: string;
  /** Names asked of the resolver, in order. */
  dns?: string[];
  /** The connection that was made. */
  dialled?: string | null;
  /** All that were tried, when that is more. */
  tried?: string[];
  /** In the audit line, where it is not the one dialled. */
  address?: string;
  detail?: string;
  /** Of the answer, when it is neither 200 nor 403. */
  status?: number;
  /** No answer, since the client's request is not whole. */
  silent?: boolean;
  /** Whether the bytes sent through a tunnel arrived, all of them, or none. */
  passed?: boolean;
  /** Requests as another HTTP parser, the server's, saw them. */
  upstream?: { method: string; url: string; host: string; body?: string; has?: string[]; lacks?: string[] }[];
};

/** One attack or legitimate use. Text is Latin-1: one character is one byte. */
export type CorpusCase = {
  id: string;
  /** Row of the list of threats. */
  threat: number;
  policy: string;
  transports: CorpusTransport[];
  host?: string;
  port?: number | string;
  bytes?: string;
  /** Hexadecimal; sent through the tunnel once it stands, cut at these offsets. */
  send?: string;
  cuts?: number[];
  /** Addresses by name, instead of the usual ones; lists of lists are one per question. */
  answers?: Record<string, string[] | string[][]>;
  /** Addresses that take no connection. */
  refusing?: string[];
  /** The answer's exact bytes. */
  reply?: string;
  expect: Expectation | Expectation[];
};

export type Corpus = {
  own: string[];
  policies: Record<string, EgressPolicyInput>;
  /** Of this host, all of them, by their full names. */
  guests: Record<string, string[]>;
  answers: Record<string, string[]>;
  cases: CorpusCase[];
};

export function readCorpus(): Corpus {
  return JSON.parse(readFileSync(join(import.meta.dirname, "corpus.json"), "utf8")) as Corpus;
}
