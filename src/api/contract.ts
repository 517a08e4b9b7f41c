import type { z } from "zod";
import type { AnswerShape } from "./answers.ts";
import type { operations, OperationId } from "./operations.ts";
import type { Routes } from "./routes.ts";
import type { Log } from "../base/log.ts";

/** Types of both sides of the door, all read off the route table. */

/** Who is at the other end of the socket (SO_PEERCRED, unix(7)). */
export type Peer = { uid: number; gid: number; pid: number };

export const serverCloses = Symbol("the server closes");

export type Context = {
  peer: Peer;
  /** Aborts when the caller hangs up, or, with the reason `serverCloses`, when the server closes. */
  signal: AbortSignal;
  /** One plain sentence on what is being done; reaches the caller when it asked for progress. */
  progress(line: string): void;
  log: Log;
};

type Part<Id extends OperationId, Key extends string> = Routes[Id] extends { readonly [K in Key]: infer S } ? S : undefined;
type Parsed<S, None> = S extends z.ZodType ? z.output<S> : None;
type Given<S, None> = S extends z.ZodType ? z.input<S> : None;

/** What a handler is given, parsed and checked. */
export type Input<Id extends OperationId> = {
  params: Parsed<Part<Id, "params">, Record<string, never>>;
  query: Parsed<Part<Id, "query">, Record<string, never>>;
  body: Parsed<Part<Id, "body">, undefined>;
};

/** What a caller gives; a part whose every key is optional may be left out. */
export type Asked<Id extends OperationId> = Optional<"params", Given<Part<Id, "params">, undefined>> &
  Optional<"query", Given<Part<Id, "query">, undefined>> &
  Optional<"body", Given<Part<Id, "body">, undefined>>;

type Optional<Key extends string, Value> = [Value] extends [undefined]
  ? { [K in Key]?: undefined }
  : Record<string, never> extends Value
    ? { [K in Key]?: Value }
    : { [K in Key]: Value };

export type Answer<Id extends OperationId> = Routes[Id]["answer"] extends AnswerShape<infer View> ? View : never;

/** Ids by how they answer, so that the client offers each call only for operations it fits. */
export type IdsAnswering<Kind extends string> = {
  [Id in OperationId]: (typeof operations)[Id]["answers"] extends Kind ? Id : never;
}[OperationId];

/** A command running inside a guest, as the guest's driver gives it. With a terminal, everything comes on stdout. */
export type ExecSession = {
  stdin: NodeJS.WritableStream;
  stdout: NodeJS.ReadableStream;
  stderr: NodeJS.ReadableStream | undefined;
  resize(columns: number, rows: number): void;
  kill(signal: NodeJS.Signals): void;
  /** 128 + n when signal n ended it. */
  exitCode: Promise<number>;
  /** What it is, told to the caller before its output and before its exit code. */
  status?: () => unknown;
};

/** Bytes as they come; `headers` are sent before the first. */
export type ByteStream = AsyncIterable<Uint8Array> & { readonly headers?: Record<string, string> };

type Result<Id extends OperationId> = {
  json: Answer<Id>;
  progress: Answer<Id>;
  events: AsyncIterable<Answer<Id>>;
  bytes: ByteStream;
  upgrade: ExecSession;
}[(typeof operations)[Id]["answers"]];

/** Does one operation. Streams: refuse before the promise resolves, since the status line is sent then. @throws NexusError */
export type Handler<Id extends OperationId> = (input: Input<Id>, context: Context) => Promise<Result<Id>>;

/** The daemon's side. The server answers `openapi` itself. */
export type Handlers = { [Id in Exclude<OperationId, "openapi">]: Handler<Id> };
