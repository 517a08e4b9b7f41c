import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { before, test } from "node:test";
import { egressPolicy } from "../../src/spec/egress.ts";
import { allOf, Outside, Scene } from "../services/egress/scene.ts";
import { until } from "../services/egress/until.ts";

const policyOf = (...allow: string[]) => egressPolicy.parse({ mode: "allowlist", allow });
const answers = { "x.example": ["93.184.216.34"], "y.example": ["93.184.216.35"] };

// The namespace of the test is new.
before(() => void execFileSync("ip", ["link", "set", "lo", "up"]));

test(
  "of a hundred thousand requests over a thousand reloads none is judged by a policy that was not there",
  { timeout: 120_000 },
  async () => {
    await using outside = await Outside.open();
    const policies = [policyOf("x.example:80"), policyOf("y.example:80"), egressPolicy.parse({ mode: "none" })];
    let current = 0;
    const standing = new Set([0]);
    let judged = 0;
    let allowed = 0;
    await using scene = await Scene.open({
      policy: { mode: "allowlist", allow: ["x.example:80"] },
      answers,
      outside: { port: outside.port("http") },
      limits: { requestsPerSecond: 1e9, connections: 1000 },
      audit: ({ name, decision }) => {
        judged++;
        if (decision === "deny") return;
        allowed++;
        // Judged in this round, by the policy before or the one after its reload.
        assert.ok(
          (name === "x.example" && standing.has(0)) || (name === "y.example" && standing.has(1)),
          `${name} with ${[...standing].join()}`,
        );
      },
    });
    const get = (name: string) => `GET http://${name}/ HTTP/1.1\r\nHost: x\r\n\r\n`;
    const hundred =
      (get("never.example").repeat(47) + get("x.example") + get("never.example").repeat(47) + get("y.example")).repeat(1) +
      get("z.y.example").repeat(4);
    for (let round = 0; round < 1000; round++) {
      const client = await scene.connect();
      const said = allOf(client);
      client.end(hundred);
      for (let i = 0; i < round % 5; i++) await new Promise((resolve) => setImmediate(resolve));
      const next = (current + 1 + (round % 2)) % 3;
      standing.add(next);
      scene.proxy.setPolicy(policies[next] ?? assert.fail());
      await said;
      await until(() => scene.proxy.figures().open === 0);
      outside.forget();
      standing.clear();
      standing.add(next);
      current = next;
    }
    // A connection that is cut by a reload takes with it what was not read yet.
    assert.ok(judged > 80_000 && allowed > 200, `${judged} judged, ${allowed} allowed`);
    assert.deepEqual(scene.faults, []);
  },
);

test("ten thousand requests one after the other and hundreds at once are all answered", async () => {
  await using outside = await Outside.open();
  await using scene = await Scene.open({
    policy: { mode: "allowlist", allow: ["x.example:80"] },
    answers,
    outside: { port: outside.port("http") },
    limits: { requestsPerSecond: 1e6 },
  });
  const one = "GET http://x.example/ HTTP/1.1\r\nHost: x\r\n\r\n";
  const text = await ask(scene, one.repeat(10_000));
  assert.equal(text.split("HTTP/1.1 200 OK").length - 1, 10_000);
  const all = await Promise.all(
    Array.from({ length: 500 }, () => ask(scene, `GET http://x.example/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`)),
  );
  assert.equal(all.filter((answer) => answer.startsWith("HTTP/1.1 200 OK")).length, 500);
});

async function ask(scene: Scene, bytes: string): Promise<string> {
  const client = await scene.connect();
  const said = allOf(client);
  client.end(bytes);
  return (await said).toString("latin1");
}
