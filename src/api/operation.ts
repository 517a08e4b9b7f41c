export type Operation = {
  method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  /** `{x}` stands for one path segment, percent-encoded. */
  path: `/v1/${string}`;
  summary: string;
  /** When the call is legal, beyond a valid request. */
  when: string;
  /** progress: JSON, or with `Accept: application/x-ndjson` lines of progress and then the answer. upgrade: leaves HTTP. */
  answers: "json" | "progress" | "events" | "bytes" | "upgrade";
  /** Who may call: whoever can open the socket, or root alone; of a user's own daemon, that user too. */
  who?: "root";
};

export const always = "always";
export const known = "the object exists";
export const running = "the guest runs";
