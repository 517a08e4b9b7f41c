import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";
import { egressPolicy } from "../../../src/spec/egress.ts";
import { allOf, Outside, Scene } from "./scene.ts";
import { until } from "./until.ts";

const policyOf = (...allow: string[]) => egressPolicy.parse({ mode: "allowlist", allow });
const answers = { "x.example": ["93.184.216.34"], "y.example": ["93.184.216.35"] };

test("a tunnel that the new policy would refuse is cut, and one that it allows goes on", async () => {
  await using outside = await Outside.open();
  await using scene = await Scene.open({
    policy: { mode: "allowlist", allow: ["x.example:7", "y.example:7"] },
    answers,
    outside: { port: outside.port("raw") },
  });
  const tunnel = async (name: string) => {
    const client = await scene.connect();
    client.write(`CONNECT ${name}:7 HTTP/1.1\r\nHost: x\r\n\r\n`);
    await once(client, "data");
    return client;
  };
  const [x, y] = [await tunnel("x.example"), await tunnel("y.example")];
  scene.proxy.setPolicy(policyOf("x.example:7"));
  await allOf(y);
  assert.equal(scene.audit[0]?.name, "y.example");
  assert.equal(scene.audit[0]?.detail, "the policy changed: NOT_IN_ALLOWLIST");
  x.write("still here");
  await until(() => outside.received.toString() === "still here");
  x.destroy();
});

test("what was allowed but not yet connected is cut too", async () => {
  await using outside = await Outside.open();
  const gate = Promise.withResolvers<never[]>();
  await using scene = await Scene.open({
    policy: { mode: "unrestricted" },
    outside: { port: outside.port("raw") },
    resolver: () => gate.promise,
  });
  const client = await scene.connect();
  client.write("CONNECT x.example:7 HTTP/1.1\r\nHost: x\r\n\r\n");
  await until(() => scene.proxy.figures().open === 1);
  scene.proxy.setPolicy(egressPolicy.parse({ mode: "none" }));
  await allOf(client);
  assert.deepEqual(scene.dialled, []);
  assert.equal(scene.audit[0]?.detail, "the policy changed: NET_MODE_NONE");
});

test("after its end a policy allows nothing", async () => {
  await using outside = await Outside.open();
  await using scene = await Scene.open({
    policy: { mode: "unrestricted" },
    policyEnds: 1,
    answers,
    outside: { port: outside.port("http") },
  });
  const ask = async () => {
    const client = await scene.connect();
    const said = allOf(client);
    client.end("GET http://x.example/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    return (await said).toString();
  };
  assert.match(await ask(), /403 Forbidden\r\nx-proxy-error: POLICY_EXPIRED/);
  scene.proxy.setPolicy(policyOf("x.example:80"), Date.now() + 3600_000);
  assert.match(await ask(), /200 OK/);
});

test("closing ends everything, writes every line, and takes no more", async () => {
  await using outside = await Outside.open();
  await using scene = await Scene.open({ policy: { mode: "unrestricted" }, answers, outside: { port: outside.port("raw") } });
  const clients = await Promise.all(Array.from({ length: 50 }, () => scene.connect()));
  for (const client of clients) client.write("CONNECT x.example:7 HTTP/1.1\r\nHost: x\r\n\r\n");
  await until(() => outside.connections === 50);
  scene.proxy.close();
  await Promise.all(clients.map(allOf));
  await until(() => scene.audit.length === 50 && outside.connections === 0);
  assert.ok(scene.audit.every(({ detail }) => detail === "the proxy closed"));
  await allOf(await scene.connect());
  assert.equal(scene.audit.length, 50);
});
