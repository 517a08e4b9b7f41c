import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

/** A small git server (git-http-backend(1)) on loopback, that may want a password, and notes what it was told. */
export class GitServer implements AsyncDisposable {
  readonly asked: { path: string; authorization: string | undefined }[] = [];
  /** `user:password` that must be given. */
  wanted: string | undefined;
  /** Sent instead of an answer, when set. */
  redirect: string | undefined;
  readonly #server = createServer((request, response) => this.#answer(request, response));
  readonly #root: string;

  private constructor(root: string) {
    this.#root = root;
  }

  /** Serves every repository below a directory. */
  static async below(root: string): Promise<GitServer> {
    const git = new GitServer(root);
    git.#server.listen(0, "127.0.0.1");
    await once(git.#server, "listening");
    return git;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  url(path: string): string {
    return `http://127.0.0.1:${this.port}/${path}`;
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    const [path = "", query = ""] = (request.url ?? "").split("?");
    const { authorization } = request.headers;
    this.asked.push({ path, authorization });
    if (this.redirect !== undefined) return void response.writeHead(302, { location: `${this.redirect}${request.url}` }).end();
    if (this.wanted !== undefined && authorization !== `Basic ${Buffer.from(this.wanted).toString("base64")}`)
      return void response.writeHead(401, { "www-authenticate": 'Basic realm="git"' }).end();
    const child = spawn("git", ["-c", "safe.directory=*", "http-backend"], {
      stdio: ["pipe", "pipe", "inherit"],
      env: {
        PATH: process.env["PATH"] ?? "",
        GIT_PROJECT_ROOT: this.#root,
        GIT_HTTP_EXPORT_ALL: "1",
        PATH_INFO: path,
        QUERY_STRING: query,
        REQUEST_METHOD: request.method ?? "GET",
        CONTENT_TYPE: request.headers["content-type"] ?? "",
        REMOTE_ADDR: "127.0.0.1",
        ...(request.headers["content-encoding"] === undefined ? {} : { HTTP_CONTENT_ENCODING: request.headers["content-encoding"] }),
        ...(request.headers["git-protocol"] === undefined ? {} : { GIT_PROTOCOL: String(request.headers["git-protocol"]) }),
      },
    });
    child.stdin.on("error", () => undefined);
    request.pipe(child.stdin);
    const parts: Buffer[] = [];
    child.stdout.on("data", (part: Buffer) => parts.push(part));
    child.on("close", () => {
      const said = Buffer.concat(parts);
      const end = said.indexOf("\r\n\r\n");
      const headers = said.subarray(0, end).toString().split("\r\n");
      const status = headers.find((line) => line.startsWith("Status: "))?.slice(8, 11) ?? "200";
      const fields = headers.filter((line) => !line.startsWith("Status: ")).map((line) => line.split(": ") as [string, string]);
      response.writeHead(Number(status), Object.fromEntries(fields)).end(said.subarray(end + 4));
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, "close");
  }
}
