import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { load, loadAll, vm } from "./load-text.ts";

/** Every key qemu-compose 0.6 documents or parses, in our words. */
const everything = `version: "1.0"
networks:
  Lab_Net:
    driver: bridge
    subnet: auto
  office:
    driver: bridge
    subnet: 192.168.100.0/24
  empty:
    driver: bridge
    subnet: ""
volumes:
  pg_data:
    size: 20G
  scratch:
vms:
  db_server:
    image: https://example.org/cloud/noble-server-cloudimg-amd64.img
    cpu: 4
    memory: 4096
    disk:
      size: 20G
    networks:
      - Lab_Net
      - office
    volumes:
      - pg_data:/var/lib/postgresql/
      - files/shared:/mnt/:ro
      - source: ./cfg
        target: /etc/cfg
        read_only: true
        automount: false
      - source: scratch
        target: /scratch
        mount_options: noatime
    ports:
      - "5432:5432"
    environment:
      - TZ=UTC
      - PRICE=5$
    provision:
      - type: shell
        inline: |
          echo "$HOME" > /tmp/home
    healthcheck:
      test: ["CMD", "pg_isready"]
      interval: 10s
      timeout: 5s
      retries: 5
    ssh:
      port: 2299
    restart_policy: whatever
  web:
    image: https://example.org/cloud/fedora.qcow2
    cpu: 1
    memory: 512
    depends_on:
      - db_server
    volumes:
      - pg_data:/mnt/db:ro
    ssh:
      port: 2300
`;

describe("a qemu-compose file", () => {
  const { project, warnings } = loadAll(everything, { file: "qemu-compose.yaml" });

  it("runs unchanged: machines, disks, networks, volumes and all that tool reads and never did", () => {
    const db = vm(project, "db-server");
    assert.deepEqual(
      [db.spec.cpus, db.spec.mem, db.spec.disk, db.spec.env, db.spec.hostname],
      [4, 4096, 20 * 1024 ** 3, { TZ: "UTC", PRICE: "5$" }, "db-server"],
    );
    assert.deepEqual(db.spec.networks, [{ network: "demo-lab-net" }, { network: "demo-office" }]);
    assert.deepEqual(db.spec.publish, [{ protocol: "tcp", hostPort: 5432, guestPort: 5432 }]);
    assert.deepEqual(
      db.spec.disks.map(({ name, source, size }) => [name, source, size]),
      [
        ["pg-data", "demo-pg-data", 20 * 1024 ** 3],
        ["scratch", "demo-scratch", 10 * 1024 ** 3],
      ],
    );
    assert.deepEqual(
      db.spec.shares.map(({ source, readOnly }) => [source, readOnly]),
      [
        ["/p/demo/files/shared", true],
        ["/p/demo/cfg", true],
      ],
    );
    assert.deepEqual(
      db.spec.setup?.mounts.map(({ target, options }) => [target, options]),
      [
        ["/var/lib/postgresql", undefined],
        ["/mnt", undefined],
        ["/scratch", "noatime"],
      ],
    );
    assert.deepEqual(db.spec.setup?.provision, [{ kind: "shell", script: 'echo "$HOME" > /tmp/home\n' }]);
    assert.deepEqual(db.healthcheck?.probe, { kind: "exec", command: ["pg_isready"] });
    const web = vm(project);
    assert.deepEqual([web.spec.sshPort, web.spec.networks, [...web.dependsOn.keys()]], [2300, [], ["db-server"]]);
    assert.deepEqual(
      [...project.networks].map(([, { name, spec }]) => [name, spec?.subnets]),
      [
        ["demo-lab-net", ["auto"]],
        ["demo-office", [{ prefix: "192.168.100.0/24" }]],
        ["demo-empty", ["auto"]],
      ],
    );
  });

  it("warns of what it passes over or names otherwise", () => {
    assert.deepEqual(
      warnings.map(({ place, path, problem }) => `${place?.replace(/:\d+$/, "")} ${path}: ${problem}`),
      [
        "qemu-compose.yaml:3 Lab_Net: is called lab-net here",
        "qemu-compose.yaml:17 db_server: is called db-server here",
        "qemu-compose.yaml:51 vms.db_server.ssh.port: is for user mode; on a network the machine is reached by its address",
        "qemu-compose.yaml:52 vms.db_server.restart_policy: is passed over, as qemu-compose does",
      ],
    );
  });

  it("is known by its name, or by its shape under another", () => {
    const text = 'version: "1.0"\nvms:\n  web: {image: "https://example.org/$x.img", cpu: 1, memory: 512}\n';
    for (const file of ["c.yaml", "qemu-compose.yml", "examples/qemu-compose-simple.yaml"])
      assert.equal(vm(load(text, { file })).spec.image, "https://example.org/$x.img", file);
    assert.equal(vm(load("vms: {web: {cpu: 1, sound: yes}}", { file: "qemu-compose.yaml" })).spec.cpus, 1);
    assert.throws(() => load("vms: {web: {cpu: 1, sound: yes}}"), /sound: unknown key/);
    assert.throws(() => load(text, { file: "nexus-compose.yaml" }), /version: unknown key/);
  });

  it("of the two documented shapes, user mode and one shared bridge, makes the same as that tool", () => {
    const bridge = "networks: {default: {driver: bridge, subnet: auto}}\n";
    const machine = (more: string) => `{image: "https://example.org/i.img", cpu: 2, memory: 2048${more}}`;
    const two = load(
      `version: "1.0"\n${bridge}vms:\n  fedora-vm: ${machine(', disk: {size: 8G}, networks: [default], volumes: ["./volumes/fedora/:/mnt/"]')}\n  ubuntu-vm: ${machine(", networks: [default]")}\n`,
    );
    assert.deepEqual(vm(two, "fedora-vm").spec.shares, [{ name: "mnt", source: "/p/demo/volumes/fedora", readOnly: false }]);
    assert.deepEqual(vm(two, "ubuntu-vm").spec.networks, [{ network: "demo-default" }]);
    assert.deepEqual(vm(load(`version: "1.0"\nvms:\n  web: ${machine("")}\n`)).spec.networks, []);
  });
});
