import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import type { Answer } from "../api/contract.ts";
import { makeOwnDirectory, refuseUntrusted } from "../api/own-directory.ts";
import { startServer } from "../api/server.ts";
import { systemClock } from "../base/clock.ts";
import type { Name } from "../base/names.ts";
import type { Log } from "../base/log.ts";
import type { ExecRequest, GuestPlan } from "../guests/driver.ts";
import { createOciDriver } from "../guests/oci.ts";
import { isVmDirectory } from "../guests/qemu-layout.ts";
import { runDoctor } from "../host/doctor/run.ts";
import { ImageStore } from "../images/store.ts";
import { tryLock } from "../kernel/lock.ts";
import { namespaceExists, namespacePath, removeNamespace } from "../kernel/namespaces.ts";
import { callerOf } from "../kernel/unix-socket.ts";
import { netnsName } from "../plan/naming.ts";
import { Loopback6Publisher } from "../services/publish/loopback6.ts";
import { DhcpServer } from "../services/dhcp/server.ts";
import { DnsServer } from "../services/dns/server.ts";
import { RaServer } from "../services/ra/server.ts";
import { type Config, placesOf } from "../spec/config.ts";
import type { Surroundings } from "../spec/places.ts";
import type { GuestRecord } from "../state/rows.ts";
import { State } from "../state/state.ts";
import { Addressing } from "./addressing.ts";
import { Chronicle } from "./chronicle.ts";
import { openFacilities } from "./open-facilities.ts";
import { withDefaultNetwork } from "./default-network.ts";
import { Egress } from "./egress.ts";
import { EgressDiary } from "./egress-diary.ts";
import { Guests } from "./guests.ts";
import { planOf } from "./guest-plan.ts";
import { machineProbe, runtimeProbes } from "./examine.ts";
import { sandboxProbes } from "./sandbox-probes.ts";
import { keepLimits } from "./keep-limits.ts";
import { Health } from "./health.ts";
import { hostLines, HostsFile } from "./hosts-file.ts";
import { makeHandlers } from "./handlers.ts";
import { McpDoor } from "./mcp-door.ts";
import { openNetworkAccess } from "./network-access.ts";
import { Names } from "./names.ts";
import { NetworkProblems } from "./network-problems.ts";
import { Networks } from "./networks.ts";
import type { Container, Nodes, RunningNode, Vms } from "./kinds.ts";
import { Lives } from "./lives.ts";
import { openMachines } from "./machines.ts";
import { listenerOn } from "./port-check.ts";
import { Reconciler } from "./reconciler.ts";
import { Setups } from "./setups.ts";
import { type ConfigFile, Settings } from "./settings.ts";
import { whenSocketGoes } from "./socket-watch.ts";
import { openSandboxes } from "./sandboxes.ts";
import { version } from "./version.ts";
import { Volumes } from "./volumes.ts";
import { tapHoldersOf, vhostWorks } from "./vm-life.ts";
import { vmPlanOf, vmSetupFacts } from "./vm-plan.ts";
import { setupReport } from "./vm-setup.ts";
import { World } from "./world.ts";

export type DaemonInput = {
  source: ConfigFile;
  surroundings: Surroundings;
  log: Log;
  /** Called when a caller asks the daemon to end. */ onShutdown: () => void;
  onLogLevel: (level: Config["log_level"]) => void;
};

export type Daemon = AsyncDisposable & { socket: string; stateDir: string; runsUnderWay(): string[] };

/** Opens everything, adopts what is there, and serves. On return the host is as it should be. @throws NexusError daemon-running, not-permitted, state-corrupt; KernelError */
export async function startDaemon({ source, surroundings, log, onShutdown, onLogLevel }: DaemonInput): Promise<Daemon> {
  await using stack = new AsyncDisposableStack();
  const places = placesOf(source.config, surroundings);
  refuseUntrusted({ what: "the daemon's state", hint: "choose another directory by --state-dir" }, places.stateDir, surroundings.uid);
  const cache = { what: "what virtual machines boot", hint: "set NEXUS_CACHE_DIR to a directory of your own, or leave it unset" };
  refuseUntrusted(cache, places.cacheDir, surroundings.uid);
  const access = stack.use(openNetworkAccess(surroundings.uid, log));
  const inRunDir = dirname(places.socket) === places.runDir;
  if (access.scope === "user" && inRunDir) makeOwnDirectory(places.runDir, surroundings.uid);
  const state = stack.use(State.open(places.stateDir, tryLock, systemClock));
  const settings = new Settings(source, state.settings);
  const chronicle = new Chronicle(state.events, systemClock, log);
  const snapshot = state.load();
  const world = new World(state.identity.instance, snapshot);
  const residents = () => new Map([...world.live].flatMap((name) => residentOf(name, nodes)));
  const tapHolders = () =>
    tapHoldersOf(
      [...world.live].flatMap((name) => world.guests.get(name) ?? []),
      {
        pidOf: (name) => vms.running(name)?.pid,
        queuesOf: ({ id }) => machines.driver.tapQueues({ directory: join(guestsDirectory, id) }),
      },
    );
  const wiring = access.engine({ world, state, chronicle, log, residents, tapHolders });
  wiring.adopt();

  const diary = new EgressDiary(chronicle, systemClock);
  const egress = new Egress({ world, wiring, diary });
  egress.reconsider();

  const nameProblems = new NetworkProblems(chronicle, { service: "dns", restored: "names are served" });
  const addressProblems = new NetworkProblems(chronicle, { service: "dhcp", restored: "addresses are handed out" });
  // The names of running guests are in their files: another domain waits for the next start.
  const { domain } = settings.config.dns;
  const dns = stack.use(new DnsServer({ domain, log, judge: egress.judge }));
  settings.follow((config) => {
    onLogLevel(config.log_level);
    dns.setUpstreams(undefined, config.dns.upstreams);
  });
  const names = new Names(dns, world, (network, problem) => nameProblems.tell(network, problem));
  const loopback6 = stack.use(
    new Loopback6Publisher({
      onProblem: ({ protocol, port }, problem) =>
        chronicle.tell({ kind: "publish.failed", subject: `${protocol} [::1]:${port}`, message: problem }),
    }),
  );
  const addressing = new Addressing({
    dhcp: stack.use(new DhcpServer({ log })),
    ra: stack.use(new RaServer({ log })),
    world,
    domain,
    uplinkMtuBytes: () => wiring.uplinkMtuBytes,
    onProblem: (network, problem) => addressProblems.tell(network, problem),
  });
  const setups = stack.use(
    new Setups({
      chronicle,
      reportOf: (guest) => setupReport(guest, () => vmSetupFacts(guest, vmFacts())),
      agent: (guest, limit) => machines.driver.agent(vms.planFor(guest), limit),
    }),
  );
  const isBeingSetUp = (name: Name): boolean => world.guests.get(name)?.state === "created" || setups.of(name)?.state === "pending";
  const health = stack.use(new Health({ chronicle, exec: (guest, request) => execIn(guest, request), isBeingSetUp }));
  const hosts = new HostsFile((message) => chronicle.tell({ kind: "hosts-file.failed", subject: "host", message }));
  settings.follow(({ hosts_file: file }) => {
    hosts.use(file === "off" ? undefined : file);
    hosts.set(() => hostLines(world, domain));
  });
  const networks = new Networks({
    world,
    state,
    wiring,
    chronicle,
    clock: systemClock,
    reconsider: () => void egress.reconsider(),
    onChange: (network, present) => {
      names.networkChanged(network, present);
      addressing.networkChanged(network, present);
    },
  });
  const guests = new Guests({
    world,
    state,
    wiring,
    clock: systemClock,
    listener: listenerOn,
    onChange: (guest, live) => {
      names.guestChanged(guest, live);
      addressing.guestChanged(guest, live);
      health.guestChanged(guest, live);
      setups.guestChanged(guest, live);
      if (!live) diary.forget(guest.name);
      hosts.set(() => hostLines(world, domain));
      if (guest.publishes.some((p) => p.hostAddress === "::1")) void loopback6.set(world.desired().publishes);
    },
    onLeave: (guest) => {
      names.guestChanged(guest, false);
      addressing.guestChanged(guest, false);
    },
    place: (newcomer) => withDefaultNetwork(newcomer, networks, settings.config),
    dropNetwork: (name) => {
      if (world.attachedTo(name) === 0) networks.remove(name);
    },
  });
  const images = new ImageStore({ directory: join(places.stateDir, "images") });
  images.sweep().catch((error: unknown) => log.warn({ error: String(error) }, "leftovers of images could not be removed"));
  const guestsDirectory = join(places.stateDir, "guests");
  const driver = createOciDriver({ directory: join(places.stateDir, "runtime"), images, guestsDirectory });
  const volumes = new Volumes(join(places.stateDir, "volumes"), world);
  const facilities = stack.use(
    openFacilities({ places, state, chronicle, clock: systemClock, endRun: async (run) => void (await runs.cancel(run)) }),
  );
  const guestPlan = (guest: Container): GuestPlan =>
    planOf(guest, { world, domain, guestsDirectory, netns: namespacePath(netnsName(guest.name)), volumes });
  const nodes: Nodes = new Lives<Container, GuestPlan, RunningNode>({
    noun: "node",
    isOurs: (guest) => guest.kind === "container",
    guests,
    driver,
    furnish: ({ spec }) =>
      volumes.make(
        spec.volumes.map((volume) => volume.source),
        "directory",
      ),
    chronicle,
    log,
    planOf: guestPlan,
    runtimeOf: (plan) => driver.runtimeOf(plan),
  });
  const vhost = vhostWorks();
  const vmFacts = () => ({ world, domain, guestsDirectory, uplinkMtuBytes: wiring.uplinkMtuBytes, vhost, volumes });
  const machines = openMachines({
    stateDirectory: places.stateDir,
    cacheDirectory: places.cacheDir,
    guestsDirectory,
    guests,
    taps: access.taps,
    wiring,
    volumes,
    chronicle,
    log,
    planOf: (guest) => vmPlanOf(guest, vmFacts()),
  });
  const vms: Vms = machines.lives;
  // What is under way is waited for once, by both.
  stack.defer(async () => void (await Promise.all([nodes, vms].map((lives) => lives[Symbol.asyncDispose]()))));
  const execIn = async (guest: GuestRecord, request: ExecRequest) =>
    guest.kind === "vm"
      ? await machines.driver.exec(vms.runningPlan(guest.name), request)
      : await driver.exec(nodes.runningPlan(guest.name), request);
  const removerOf = ({ id, directory }: { id: string; directory: string }) =>
    world.leaving.get(id)?.kind === "vm" || isVmDirectory(directory) ? machines.driver : driver;
  const alongside = async () => {
    names.retry();
    addressing.retry();
    hosts.set(() => hostLines(world, domain));
    void loopback6.set(world.desired().publishes);
    await finishLeaving({ world, state, remove: (guest) => removerOf(guest).remove(guest), guestsDirectory, log });
    keepLimits(nodes.runningPlans(), { driver, chronicle, log });
    state.checkpoint();
  };
  const reconciler = stack.use(new Reconciler({ wiring, chronicle, log, alongside }));

  // Attachments without a process of ours run whenever the daemon does; of nodes, those that are seen to.
  for (const guest of guests.all()) if (guest.kind === "netns") world.live.add(guest.name);
  await Promise.all([nodes.adopt(), vms.adopt(), facilities.sweep()]);
  // When it fails that is in the log, and the interval tries again: what can run is not kept from running.
  await reconciler.run("the start").catch(() => undefined);
  // Some may have been removed just before the last daemon was killed.
  wiring.releaseLater(snapshot.remembered);
  wiring.releaseNow();
  for (const network of networks.all()) names.networkChanged(network, true);
  for (const guest of guests.all()) if (world.live.has(guest.name)) names.guestChanged(guest, true);
  void loopback6.set(world.desired().publishes);
  const rebooted = state.noteBoot(readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim());
  stack.use(access.watch({ world, chronicle, ask: (reason) => reconciler.ask(reason) }));

  const machine = machines.driver.probe;
  const sandboxes = stack.use(openSandboxes({ state, chronicle, log, places, images, facilities, world, domain, settings, machine }));
  const { runs, roots } = sandboxes;
  sandboxes.recover({ rebooted });

  const startedAt = new Date().toISOString();
  const info = (): Answer<"info"> => ({
    version,
    pid: process.pid,
    startedAt,
    socket: places.socket,
    stateDir: places.stateDir,
    runDir: places.runDir,
    cacheDir: places.cacheDir,
    kernel: readFileSync("/proc/sys/kernel/osrelease", "utf8").trim(),
    networks: world.networks.size,
    guests: { total: world.guests.size, running: world.live.size },
    scope: access.scope,
    features: access.features,
  });
  const doctor = async () => {
    const sandboxRoot = await roots.report();
    return runDoctor({
      stateDirectory: places.stateDir,
      socketPath: places.socket,
      networks: networks.all().map((n) => ({ name: n.name, bridge: n.bridge, prefixes: n.subnets.map((s) => s.prefix) })),
      probeRuntimes: () => runtimeProbes(driver),
      daemonPid: process.pid,
      probeMachines: () => machineProbe(machines.driver),
      sandboxRoot,
      probeSandboxes: sandboxProbes(images, { user: access.scope === "user", sandboxRoot }),
      ...(access.scope === "user" ? { user: { uid: surroundings.uid } } : {}),
    });
  };
  const handlers = makeHandlers({
    flush: () => state.flush(),
    world,
    networks,
    guests,
    nodes,
    vms,
    wiring,
    egress,
    chronicle,
    reconciler,
    settings,
    images: { oci: images, vm: machines.images },
    volumes,
    runs,
    facilities,
    health,
    setups,
    driver,
    vmDriver: machines.driver,
    matchDevices: machines.matchDevices,
    info,
    version,
    doctor,
    problemOf: (name) => nameProblems.of(name) ?? addressProblems.of(name),
    shutdown: onShutdown,
  });
  const mcp = stack.use(new McpDoor({ socketPath: places.socket, version, log }));
  const server = await startServer({
    socketPath: places.socket,
    audience: access.audience(settings.config.socket_group),
    version,
    handlers,
    peerOf: callerOf,
    log,
    mcp: (exchange) => mcp.answer(exchange),
  });
  stack.defer(() => server.close());
  stack.use(
    whenSocketGoes(
      places.socket,
      async () => {
        if (access.scope === "user") {
          log.warn(
            { socket: places.socket },
            "the socket is gone, as with the end of a session: so ends nexusd, and the next command starts another",
          );
          return onShutdown();
        }
        await server.reopen();
        chronicle.tell({ kind: "repaired", subject: "host", message: `made ${places.socket} again, which was gone` });
      },
      log,
    ),
  );
  // Behind the open door: what was begun may have an image to fetch, and nobody is to wait for that.
  for (const lives of [nodes, vms])
    lives.recover({ rebooted }).catch((error: unknown) => log.error({ error: String(error) }, "recovering guests failed"));
  log.info({ socket: places.socket, state: places.stateDir, networks: world.networks.size, guests: world.guests.size }, "nexusd serves");
  const kept = stack.move();
  return {
    socket: places.socket,
    stateDir: places.stateDir,
    runsUnderWay: () => runs.underWay(),
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  };
}

function residentOf(name: Name, nodes: Nodes): [string, number][] {
  const running = nodes.running(name);
  return running === undefined ? [] : [[netnsName(name), running.pid]];
}

/** Guests whose removal was cut short, and directories whose row was lost with the machine's power. */
async function finishLeaving(o: {
  world: World;
  state: State;
  remove: (guest: { id: string; directory: string }) => Promise<void>;
  guestsDirectory: string;
  log: Log;
}): Promise<void> {
  // A crash between a namespace's mount and its file leaves the bare file, which is no namespace that a plan would see.
  for (const name of o.world.dormant()) if (!namespaceExists(name)) removeNamespace(name);
  const known = new Set(o.world.guests.values().map((guest) => guest.id));
  const found = existsSync(o.guestsDirectory) ? readdirSync(o.guestsDirectory) : [];
  for (const id of new Set([...o.world.leaving.keys(), ...found])) {
    if (known.has(id) || o.world.departing.has(id)) continue;
    try {
      await o.remove({ id, directory: join(o.guestsDirectory, id) });
      o.state.guests.delete(id);
      o.world.leaving.delete(id);
    } catch (error) {
      // One that cannot go now holds up no other, and is tried again.
      o.log.warn({ guest: id, error: String(error) }, "what is left of a guest could not be removed");
    }
  }
}
