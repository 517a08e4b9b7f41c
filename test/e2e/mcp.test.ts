import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { after, before, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { StdioClientTransport } from "@modelcontextprotocol/client/stdio";
import type { ErrorBody } from "../../src/base/errors.ts";
import { unixFetch } from "../mcp/unix-fetch.ts";
import { Bed } from "./recovery-bed.ts";

const program = fileURLToPath(new URL("../../nexus", import.meta.url));

type Content = { type: string; text?: string; resource?: { blob?: string; uri: string } };
type Called = { isError?: boolean; content: Content[]; structuredContent?: Record<string, unknown> };

const protocols = { "of 2025": undefined, newest: { versionNegotiation: { mode: "auto" as const } } };

describe("tools for assistants", { timeout: 180_000 }, () => {
  let bed: Bed;
  before(async () => {
    bed = await Bed.make();
    for (const name of ["web", "db"]) {
      bed.daemon.named.add(name);
      await bed.client.call("node.create", { body: { name, command: ["sleep", "100000"], env: { SECRET: "hidden" } } });
    }
  });
  after(async () => {
    await bed[Symbol.asyncDispose]();
  });

  const inside = async (script: string): Promise<string> => {
    const said = await bed.nexus("node", "exec", "web", "--", "sh", "-c", script);
    assert.equal(said.code, 0, said.err);
    return said.out;
  };

  type Doors = { name: string; connect: (client: Client, flags?: string[]) => Promise<void> };
  const doors: Doors[] = [
    {
      name: "standard input and output",
      connect: (client, flags = []) =>
        client.connect(
          new StdioClientTransport({
            command: program,
            args: ["mcp", "serve", ...flags, "--socket", bed.daemon.places.socket],
            stderr: "inherit",
          }),
        ),
    },
    {
      name: "HTTP on the daemon's socket",
      connect: (client, flags = []) => {
        const url = new URL(`http://localhost/mcp${flags.includes("--read-only") ? "/readonly" : ""}`);
        return client.connect(new StreamableHTTPClientTransport(url, { fetch: unixFetch(bed.daemon.places.socket) }));
      },
    },
  ];

  for (const door of doors)
    for (const [era, options] of Object.entries(protocols)) {
      describe(`over ${door.name}, by the protocol ${era}`, () => {
        let client: Client;
        before(async () => {
          client = new Client({ name: "test", version: "1" }, options ?? {});
          await door.connect(client);
        });
        after(() => client.close());
        const call = async (name: string, args: Record<string, unknown> = {}) =>
          (await client.callTool({ name, arguments: args })) as Called;
        const refused = async (name: string, args: Record<string, unknown>): Promise<ErrorBody> => {
          const said = await call(name, args);
          assert.equal(said.isError, true, JSON.stringify(said));
          return (JSON.parse(said.content[0]?.text ?? "") as { error: ErrorBody }).error;
        };

        it("are listed with schemas and what they may do", async () => {
          const { tools } = await client.listTools();
          assert.deepEqual(tools.map(({ name }) => name).toSorted(), [
            "facility_diff",
            "facility_read",
            "facility_write",
            "file_delete",
            "file_list",
            "file_read",
            "file_write",
            "guest_list",
            "guest_start",
            "guest_stop",
            "network_list",
            "network_why",
            "run_command",
            "run_sandboxed",
          ]);
          const read = tools.find(({ name }) => name === "file_read");
          assert.deepEqual(read?.inputSchema.required, ["guest", "path"]);
          assert.equal(read?.annotations?.readOnlyHint, true);
          assert.equal(tools.find(({ name }) => name === "file_delete")?.annotations?.destructiveHint, true);
        });

        it("write, read, list and delete files, text as text and bytes as bytes", async () => {
          assert.deepEqual(
            (await call("file_write", { guest: "web", path: "/tmp/t", content: "grüße\n", mode: "600" })).structuredContent,
            {
              guest: "web",
              path: "/tmp/t",
              size: 8,
              mode: "600",
            },
          );
          await call("file_write", { guest: "web", path: "/tmp/t", content: "more\n", append: true });
          assert.deepEqual((await call("file_read", { guest: "web", path: "/tmp/t" })).content, [{ type: "text", text: "grüße\nmore\n" }]);
          const bytes = randomBytes(300 * 1024);
          await call("file_write", { guest: "web", path: "/tmp/b", content_base64: bytes.toString("base64") });
          const read = await call("file_read", { guest: "web", path: "/tmp/b" });
          assert.ok(Buffer.from(read.content[0]?.resource?.blob ?? "", "base64").equals(bytes.subarray(0, 256 * 1024)));
          assert.match(read.content[1]?.text ?? "", /262144 of 307200.*offset 262144/);
          const rest = await call("file_read", { guest: "web", path: "/tmp/b", offset: 262_144 });
          assert.ok(Buffer.from(rest.content[0]?.resource?.blob ?? "", "base64").equals(bytes.subarray(256 * 1024)));
          const listed = (await call("file_list", { guest: "web", path: "/tmp" })).structuredContent?.["entries"] as {
            name: string;
            size: number;
          }[];
          assert.equal(listed.find(({ name }) => name === "b")?.size, 300 * 1024);
          await call("file_delete", { guest: "web", path: "/tmp/b" });
          assert.equal((await refused("file_read", { guest: "web", path: "/tmp/b" })).code, "not-found");
        });

        it("cut text between characters and say where to go on", async () => {
          await call("file_write", { guest: "web", path: "/tmp/u", content: "äöü€𝄞".repeat(10) });
          let text = "";
          for (let offset: number | undefined = 0; offset !== undefined;) {
            const { content } = await call("file_read", { guest: "web", path: "/tmp/u", offset, limit: 6 });
            text += content[0]?.text ?? assert.fail("no text");
            const next = /offset (\d+)/.exec(content[1]?.text ?? "")?.[1];
            offset = next === undefined ? undefined : Number(next);
          }
          assert.equal(text, "äöü€𝄞".repeat(10));
        });

        it("run commands, with exit code, both outputs, input and a limit in time and size", async () => {
          const ran = await call("run_command", { guest: "web", command: "cat; echo err >&2; exit 3", input: "in" });
          assert.notEqual(ran.isError, true);
          assert.deepEqual(ran.structuredContent, { guest: "web", exit_code: 3, stdout: "in", stderr: "err\n" });
          const words = await call("run_command", { guest: "web", command: ["echo", "$HOME; id"], workdir: "/tmp" });
          assert.equal(words.structuredContent?.["stdout"], "$HOME; id\n");
          const long = await call("run_command", { guest: "web", command: "seq 1 200000", max_output: 1000 });
          assert.match(String(long.structuredContent?.["stdout"]), /^1\n2\n[^]*\[… \d+ bytes left out …\][^]*\n199999\n200000\n$/);
          assert.equal(long.structuredContent?.["stdout_bytes"], 1_288_895);
          const binary = await call("run_command", { guest: "web", command: "printf '\\000\\377'" });
          assert.equal(binary.structuredContent?.["stdout_base64"], "AP8=");
          const late = await refused("run_command", { guest: "web", command: "echo begun; exec sleep 1000", timeout: 0.5 });
          assert.equal(late.code, "timeout");
          assert.equal(late.details?.["stdout"], "begun\n");
          assert.equal((await inside("ps | grep -c '[s]leep 1000$' || true")).trim(), "0", "it was killed");
        });

        it("list guests without their secrets, stop and start them, and explain networks", async () => {
          const guests = (await call("guest_list")).structuredContent;
          assert.match(JSON.stringify(guests), /"name":"web"/);
          assert.doesNotMatch(JSON.stringify(guests), /hidden/);
          assert.equal((await call("guest_stop", { guest: "db", grace: 0 })).structuredContent?.["state"], "stopped");
          assert.equal((await refused("run_command", { guest: "db", command: "true" })).code, "wrong-state");
          assert.equal((await call("guest_start", { guest: "db" })).structuredContent?.["state"], "running");
          const networks = (await call("network_list")).structuredContent?.["networks"] as { name: string }[];
          assert.ok(networks.length > 0);
          assert.equal((await call("network_why", { from: "web", to: "db:80" })).structuredContent?.["verdict"], "allow");
        });

        it("refuse what is wrong with the code, what it was, and what to do", async () => {
          const unknown = await refused("file_raed", {});
          assert.deepEqual([unknown.code, unknown.hint], ["not-found", "did you mean file_read?"]);
          const wrong = await refused("file_read", { guest: "web", path: "etc/hosts", ofset: 3, limit: 10_000_000 });
          assert.equal(wrong.code, "spec-invalid");
          for (const word of ["path", "ofset", "offset", "limit"]) assert.match(wrong.message, new RegExp(word));
          assert.equal((await refused("file_read", { guest: "nobody", path: "/x" })).code, "not-found");
          assert.equal((await refused("file_read", { guest: "web", path: "/proc/1/root/etc/shadow" })).code, "not-permitted");
          assert.equal((await refused("file_read", { guest: "web", path: "/dev/zero" })).code, "unsupported");
          assert.equal((await refused("file_write", { guest: "web", path: "/tmp/x" })).code, "spec-invalid");
          assert.equal(
            (await refused("file_write", { guest: "web", path: "/tmp/x", content: "x".repeat(1024 * 1024 + 1) })).code,
            "spec-invalid",
          );
          assert.equal((await refused("file_delete", { guest: "web", path: "/" })).code, "usage");
        });
      });
    }

  for (const door of doors)
    it(`are only those that change nothing when that is asked for, over ${door.name}`, async () => {
      const client = new Client({ name: "test", version: "1" });
      await door.connect(client, ["--read-only"]);
      const { tools } = await client.listTools();
      assert.deepEqual(tools.map(({ name }) => name).toSorted(), [
        "facility_diff",
        "facility_read",
        "file_list",
        "file_read",
        "guest_list",
        "network_list",
        "network_why",
      ]);
      const said = (await client.callTool({ name: "file_write", arguments: { guest: "web", path: "/tmp/ro", content: "x" } })) as Called;
      assert.equal(said.isError, true);
      assert.equal(await inside("ls /tmp/ro 2>/dev/null || echo none"), "none\n");
      await client.close();
    });

  it("are refused where an address asks for less than it would get", async () => {
    const post = (path: string) =>
      unixFetch(bed.daemon.places.socket)(`http://localhost${path}`, {
        method: "POST",
        body: JSON.stringify({ jsonrpc: "2.0", id: 1, method: "tools/list" }),
      });
    for (const [path, status] of [
      ["/mcp?tools=read", 400],
      ["/mcp/readonly?x", 400],
      ["/mcp/read-only", 404],
      ["/mcp/", 404],
    ] as const)
      assert.equal((await post(path)).status, status, path);
    assert.match(await (await post("/mcp?readonly=true")).text(), /takes nothing after.*\/mcp\/readonly/);
  });

  it("are logged by name and caller, and never with what was read or written", async () => {
    const client = new Client({ name: "test", version: "1" });
    await doors[1]?.connect(client);
    await client.callTool({ name: "file_write", arguments: { guest: "web", path: "/tmp/logged", content: "never-in-the-log" } });
    await client.close();
    const log = readFileSync(bed.daemon.places.log, "utf8");
    assert.match(log, /"tool":"file_write","guest":"web"/);
    assert.match(log, /"path":"\/tmp\/logged"/);
    assert.doesNotMatch(log, /never-in-the-log/);
  });

  describe("called from the shell", () => {
    it("print what is asked for as it is, with the exit code of a command", async () => {
      await inside("printf 'nameserver 10.0.0.1\\n' >/tmp/r; printf 'a\\000b' >/tmp/z");
      for (const flag of ["--vm", "--node", "--guest"]) {
        const said = await bed.nexus("mcp", "file_read", flag, "web", "--path", "/tmp/r");
        assert.deepEqual(said, { code: 0, out: "nameserver 10.0.0.1\n", err: "" });
      }
      assert.equal((await bed.nexus("mcp", "file_read", "--vm", "web", "--path", "/tmp/z")).out, "a\0b");
      const json = JSON.parse(
        (await bed.nexus("mcp", "file_read", "--vm", "web", "--path", "/tmp/r", "--limit", "4", "--json")).out,
      ) as object;
      assert.deepEqual(json, { guest: "web", path: "/tmp/r", size: 20, offset: 0, length: 4, cut: true, next_offset: 4, text: "name" });
      const ran = await bed.nexus("mcp", "run_command", "--node", "web", "--", "sh", "-c", "echo out; echo err >&2; exit 7");
      assert.deepEqual(ran, { code: 7, out: "out\n", err: "err\n" });
      assert.equal((await bed.nexus("mcp", "run_command", "--node", "web", "--command", "echo $((6 * 7))")).out, "42\n");
      assert.match((await bed.nexus("mcp", "guest_list")).out, /"name": "web"/);
    });

    it("say what there is when asked for what there is not", async () => {
      assert.deepEqual((await bed.refusal("mcp", "file_raed", "--vm", "web")).error.hint, "did you mean `nexus mcp file_read`?");
      assert.equal((await bed.refusal("mcp", "file_read", "--vm", "web", "--pth", "/x")).error.hint, "did you mean --path?");
      const noGuest = await bed.refusal("mcp", "file_read", "--path", "/x");
      assert.deepEqual([noGuest.exit, noGuest.error.code], [2, "usage"]);
      const relative = await bed.refusal("mcp", "file_read", "--vm", "web", "--path", "x", "--limit", "many");
      assert.equal(relative.exit, 2);
      assert.match(relative.error.message, /path.*absolute[^]*limit/);
      assert.equal((await bed.refusal("mcp", "file_read", "--vm", "web", "--path", "/none")).exit, 4);
      assert.match((await bed.nexus("mcp", "--help")).out, /file_read[^]*network_why/);
    });
  });
});
