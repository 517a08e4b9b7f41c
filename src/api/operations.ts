import { facilityOperations } from "./operations-facilities.ts";
import { guestOperations } from "./operations-guests.ts";
import { runOperations } from "./operations-runs.ts";
import { always, known, type Operation } from "./operation.ts";

export type { Operation } from "./operation.ts";

/** Everything the daemon can be asked, as plain data: no schema here, so the command line starts without loading zod. routes.ts adds the schemas. */
export const operations = {
  health: { method: "GET", path: "/v1/health", summary: "Says that the daemon serves requests", when: always, answers: "json" },
  version: { method: "GET", path: "/v1/version", summary: "Versions of Nexus, its API and its runtime", when: always, answers: "json" },
  info: {
    method: "GET",
    path: "/v1/info",
    summary: "Where the daemon keeps things and how much it looks after",
    when: always,
    answers: "json",
  },
  openapi: { method: "GET", path: "/v1/openapi.json", summary: "This API as an OpenAPI 3.1 document", when: always, answers: "json" },

  "network.list": { method: "GET", path: "/v1/networks", summary: "Lists the networks", when: always, answers: "json" },
  "network.create": {
    method: "POST",
    path: "/v1/networks",
    summary: "Creates a network and brings it up",
    when: "no network has the name, no route overlaps its subnets",
    answers: "json",
  },
  "network.get": {
    method: "GET",
    path: "/v1/networks/{name}",
    summary: "Describes one network and its leases",
    when: known,
    answers: "json",
  },
  "network.change": {
    method: "PATCH",
    path: "/v1/networks/{name}",
    summary: "Changes the policy of a network while guests run",
    when: known,
    answers: "json",
  },
  "network.remove": {
    method: "DELETE",
    path: "/v1/networks/{name}",
    summary: "Removes a network",
    when: "no guest is attached, or force",
    answers: "json",
  },
  "network.reset": {
    method: "POST",
    path: "/v1/networks/reset",
    summary: "Removes every network and attachment of Nexus from this host",
    when: "no guest runs, or force",
    answers: "json",
  },
  why: {
    method: "GET",
    path: "/v1/why",
    summary: "Says whether a packet would pass, and which rule or route decides",
    when: always,
    answers: "json",
  },

  ...guestOperations,

  "node.list": { method: "GET", path: "/v1/nodes", summary: "Lists the container nodes", when: always, answers: "json" },
  "node.create": {
    method: "POST",
    path: "/v1/nodes",
    summary: "Creates a container node and starts it",
    when: "no guest has the name; its addresses and ports are free",
    answers: "progress",
  },
  "node.get": { method: "GET", path: "/v1/nodes/{name}", summary: "Describes one node", when: known, answers: "json" },
  "node.start": {
    method: "POST",
    path: "/v1/nodes/{name}/start",
    summary: "Starts a node; a running one is left as it is",
    when: known,
    answers: "progress",
  },
  "node.stop": {
    method: "POST",
    path: "/v1/nodes/{name}/stop",
    summary: "Stops a node: asks, waits for the grace time, then kills",
    when: known,
    answers: "json",
  },
  "node.restart": {
    method: "POST",
    path: "/v1/nodes/{name}/restart",
    summary: "Stops and starts a node",
    when: known,
    answers: "progress",
  },
  "node.remove": {
    method: "DELETE",
    path: "/v1/nodes/{name}",
    summary: "Removes a node and what was made for it",
    when: "it does not run, or force",
    answers: "json",
  },
  "node.exec": {
    method: "POST",
    path: "/v1/nodes/{name}/exec",
    summary: "Runs a command inside a node over an upgraded connection (Upgrade: nexus-exec)",
    when: "the node runs",
    answers: "upgrade",
  },
  "node.logs": {
    method: "GET",
    path: "/v1/nodes/{name}/logs",
    summary: "What the node's command wrote, as bytes",
    when: known,
    answers: "bytes",
  },

  "vm.list": { method: "GET", path: "/v1/vms", summary: "Lists the virtual machines", when: always, answers: "json" },
  "vm.create": {
    method: "POST",
    path: "/v1/vms",
    summary: "Creates a virtual machine and starts it",
    when: "no guest has the name; its addresses and ports are free",
    answers: "progress",
  },
  "vm.get": { method: "GET", path: "/v1/vms/{name}", summary: "Describes one virtual machine", when: known, answers: "json" },
  "vm.start": {
    method: "POST",
    path: "/v1/vms/{name}/start",
    summary: "Starts a virtual machine; a running one is left as it is",
    when: known,
    answers: "progress",
  },
  "vm.stop": {
    method: "POST",
    path: "/v1/vms/{name}/stop",
    summary: "Asks a virtual machine to power off, waits for the grace time, then ends it",
    when: known,
    answers: "json",
  },
  "vm.restart": {
    method: "POST",
    path: "/v1/vms/{name}/restart",
    summary: "Stops and starts a virtual machine",
    when: known,
    answers: "progress",
  },
  "vm.remove": {
    method: "DELETE",
    path: "/v1/vms/{name}",
    summary: "Removes a virtual machine, its own disks and what was made for it",
    when: "it does not run, or force",
    answers: "json",
  },
  "vm.exec": {
    method: "POST",
    path: "/v1/vms/{name}/exec",
    summary: "Runs a command by the guest's agent over an upgraded connection (Upgrade: nexus-exec)",
    when: "the virtual machine runs and its agent answers",
    answers: "upgrade",
  },
  "vm.console": {
    method: "POST",
    path: "/v1/vms/{name}/console",
    summary: "Joins the first serial port over an upgraded connection (Upgrade: nexus-exec)",
    when: "the virtual machine runs and nobody else has its console",
    answers: "upgrade",
  },
  "vm.logs": {
    method: "GET",
    path: "/v1/vms/{name}/logs",
    summary: "What came out of the first serial port, as bytes",
    when: known,
    answers: "bytes",
  },

  ...runOperations,

  "attachment.list": {
    method: "GET",
    path: "/v1/attachments",
    summary: "Lists network namespaces made for guests others run",
    when: always,
    answers: "json",
  },
  "attachment.create": {
    method: "POST",
    path: "/v1/attachments",
    summary: "Makes a network namespace attached to networks",
    when: "no guest has the name; its addresses and ports are free",
    answers: "json",
  },
  "attachment.get": { method: "GET", path: "/v1/attachments/{name}", summary: "Describes one attachment", when: known, answers: "json" },
  "attachment.remove": {
    method: "DELETE",
    path: "/v1/attachments/{name}",
    summary: "Removes an attachment and its namespace",
    when: known,
    answers: "json",
  },

  "image.list": { method: "GET", path: "/v1/images", summary: "Lists the images on this host", when: always, answers: "json" },
  "image.pull": { method: "POST", path: "/v1/images", summary: "Fetches an image and verifies it", when: always, answers: "progress" },
  "image.remove": {
    method: "DELETE",
    path: "/v1/images/{reference}",
    summary: "Removes an image",
    when: "no node uses it",
    answers: "json",
  },

  "volume.list": { method: "GET", path: "/v1/volumes", summary: "Lists the volumes on this host", when: always, answers: "json" },
  "volume.create": {
    method: "POST",
    path: "/v1/volumes",
    summary: "Makes a volume; what it is, its first guest decides",
    when: "no volume has the name",
    answers: "json",
  },
  "volume.remove": {
    method: "DELETE",
    path: "/v1/volumes/{name}",
    summary: "Removes a volume and all that is in it",
    when: "no guest uses it",
    answers: "json",
  },

  ...facilityOperations,

  "config.show": {
    method: "GET",
    path: "/v1/config",
    summary: "Every setting with its value and where it comes from",
    when: always,
    answers: "json",
  },
  "config.get": { method: "GET", path: "/v1/config/{key}", summary: "One setting", when: known, answers: "json" },
  "config.set": {
    method: "PUT",
    path: "/v1/config/{key}",
    summary: "Stores one setting, which wins over the configuration file from then on",
    when: "the caller is root",
    answers: "json",
    who: "root",
  },
  "config.unset": {
    method: "DELETE",
    path: "/v1/config/{key}",
    summary: "Forgets what was stored for one setting: the configuration file or the default counts again",
    when: "the caller is root",
    answers: "json",
    who: "root",
  },

  "event.list": {
    method: "GET",
    path: "/v1/events",
    summary: "What happened, one JSON object per line; with follow, as it happens",
    when: always,
    answers: "events",
  },
  "plan.preview": {
    method: "POST",
    path: "/v1/plan",
    summary: "What applying these networks, nodes and virtual machines would do, as ip and nft lines; nothing is changed",
    when: always,
    answers: "json",
  },
  "plan.pending": { method: "GET", path: "/v1/plan", summary: "What a reconcile would change now", when: always, answers: "json" },
  reconcile: {
    method: "POST",
    path: "/v1/reconcile",
    summary: "Compares the host with what was asked and repairs the difference",
    when: always,
    answers: "json",
  },
  doctor: {
    method: "GET",
    path: "/v1/doctor",
    summary: "Checks this host by doing, with a remedy for each fault",
    when: always,
    answers: "json",
  },
  shutdown: {
    method: "POST",
    path: "/v1/shutdown",
    summary: "Ends the daemon; guests keep running",
    when: "the caller is root",
    answers: "json",
    who: "root",
  },
} as const satisfies Record<string, Operation>;

export type OperationId = keyof typeof operations;

export function operationOf(id: OperationId): Operation {
  return operations[id];
}
