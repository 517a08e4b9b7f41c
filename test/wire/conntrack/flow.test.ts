import { describe, test } from "node:test";
import assert from "node:assert/strict";
import { flowBody, flowMessage } from "../../../src/wire/conntrack/flow.ts";
import { captured, request } from "../../golden/captured.ts";

const listed = ["list4", "list6"].flatMap((name) => captured("conntrack", name).received.filter(({ type }) => type === flowMessage.new));
const flows = listed.map(({ body }) => flowBody.decode(body));

describe("tracked connections as the kernel tells `conntrack`", () => {
  test("a translated one has the guest in its reply", () => {
    const flow = flows.find(({ attributes }) => attributes.original?.transport?.sourcePort === 5001);
    assert.deepEqual(flow?.attributes.original, {
      addresses: { source4: "10.77.0.6", destination4: "192.0.2.1" },
      transport: { number: 17, sourcePort: 5001, destinationPort: 53 },
    });
    assert.deepEqual(flow.attributes.reply, {
      addresses: { source4: "10.77.0.9", destination4: "10.77.0.6" },
      transport: { number: 17, sourcePort: 5353, destinationPort: 5001 },
    });
  });

  test("mark, IPv6 and ICMP", () => {
    assert.equal(
      flows.find(({ attributes }) => attributes.original?.transport?.sourcePort === 5000 && attributes.mark === 7)?.header.family,
      2,
    );
    const six = flows.find(({ header }) => header.family === 10)?.attributes.original;
    assert.deepEqual(six?.addresses, { source6: "fd00:77::5", destination6: "fd00:77::1" });
    assert.deepEqual(six.transport, { number: 6, sourcePort: 5000, destinationPort: 80 });
    const icmp = flows.find(({ attributes }) => attributes.original?.transport?.number === 1)?.attributes.original?.transport;
    assert.deepEqual(icmp, { number: 1, icmpId: 9, icmpType: 8, icmpCode: 0 });
  });

  test("what `conntrack -D` sends names an entry as it was listed", () => {
    const { type, body } = request("conntrack", "delete");
    const { header, attributes } = flowBody.decode(body);
    assert.equal(type, flowMessage.delete);
    assert.ok(
      flows.some(
        (flow) => flow.header.family === header.family && JSON.stringify(flow.attributes.original) === JSON.stringify(attributes.original),
      ),
    );
  });

  test("nothing of what `conntrack -I` sends is lost when we read it and write it back", () => {
    for (const name of ["insert4", "insert6", "insert-icmp", "insert-dnat"]) {
      const { type, body } = request("conntrack", name);
      const { header, attributes } = flowBody.decode(body);
      assert.equal(flowBody.request(type, { header, attributes }).body.length, body.length, name);
      assert.deepEqual(flowBody.decode(flowBody.request(type, { header, attributes }).body), { header, attributes });
    }
  });
});
