import { join } from "node:path";
import { systemClock } from "../base/clock.ts";
import { NexusError } from "../base/errors.ts";
import type { Log } from "../base/log.ts";
import type { Name } from "../base/names.ts";
import { createUserBubblewrapDriver } from "../guests/bubblewrap-user.ts";
import { type Bubblewrap, createBubblewrapDriver } from "../guests/bubblewrap.ts";
import { createMicrovmDriver } from "../guests/microvm.ts";
import { chooseRuntime, runtimeCandidates } from "../guests/oci-runtime.ts";
import { createHostDriver } from "../guests/plain-process.ts";
import { createPodmanDriver } from "../guests/podman.ts";
import type { QemuDriver } from "../guests/qemu.ts";
import type { ImageSource } from "../guests/rootfs.ts";
import type { SandboxDriver } from "../guests/sandbox.ts";
import { createTrustedDriver } from "../guests/trusted.ts";
import { type CgroupHost, findCgroups } from "../kernel/cgroups.ts";
import { NamespaceStock } from "../kernel/namespace-stock.ts";
import { buildRootDisk, buildSandboxVm } from "../images/sandbox-vm.ts";
import { WorkspaceDisks } from "../images/workspace-disk.ts";
import { EgressDns } from "../services/egress/resolver.ts";
import type { GuestAddresses } from "../services/egress/run.ts";
import type { Places } from "../spec/places.ts";
import type { State } from "../state/state.ts";
import type { Chronicle } from "./chronicle.ts";
import { addressesNamed } from "./hosts-file.ts";
import { openRunEgress, ownAndNetworks } from "./run-egress.ts";
import { sourceOf } from "./rootfs-source.ts";
import { runRoot, trustedImage } from "./run-root.ts";
import type { Facilities } from "./facilities.ts";
import { type HeldPlace, Runs } from "./runs.ts";
import { rootfsCache, SandboxRoots } from "./sandbox-roots.ts";
import type { Settings } from "./settings.ts";
import type { World } from "./world.ts";

export type Sandboxes = AsyncDisposable & {
  runs: Runs;
  roots: SandboxRoots;
  /** Accounts for what an earlier daemon ran, and begins to remove what is left of it. */
  recover(o: { rebooted: boolean }): void;
};

/** Sandboxed commands with every driver there is. */
export function openSandboxes(o: {
  state: State;
  chronicle: Chronicle;
  log: Log;
  places: Places;
  images: ImageSource;
  facilities: Facilities;
  world: World;
  /** Of the names of guests. */
  domain: string;
  settings: Settings;
  /** QEMU as it was tried here. @throws NexusError runtime-missing */
  machine: QemuDriver["probe"];
}): Sandboxes {
  const { state, chronicle, log, places, images, domain } = o;
  const stack = new AsyncDisposableStack();
  const dns = stack.use(new EgressDns());
  const ownAddresses = ownAndNetworks(o.world);
  const guests: GuestAddresses = (name) => addressesNamed(o.world, domain, name);
  const { drivers, bubblewrap } = driversFor(places, { ...o, stack });
  const roots = stack.use(
    new SandboxRoots({
      cache: rootfsCache(places),
      clock: systemClock,
      log,
      chronicle,
      onReady: (directory) => bubblewrap.follow(directory),
    }),
  );
  o.settings.vet(({ sandbox }, key) => void (key.startsWith("sandbox.") && sourceOf(sandbox.rootfs, sandbox)));
  o.settings.follow(({ sandbox }) => roots.follow(sandbox));
  const runs = stack.use(
    new Runs({
      state,
      chronicle,
      clock: systemClock,
      log,
      drivers,
      rootFor: (kind, { signal, ...run }) => runRoot({ kind, ...run }, { images, roots }, signal),
      releaseRoot: (run) => images.release(run),
      directory: join(places.stateDir, "runs"),
      own: [places.stateDir, places.runDir, places.cacheDir],
      hold: (name, run) => holdFacility(o.facilities, name, run),
      openEgress: (asked) => openRunEgress(asked, { resolver: dns.resolve, ownAddresses, domain, guests, log }),
    }),
  );
  const sweep = async () => {
    await runs.records.sweep();
    await o.facilities.releaseLost(async (run) => runs.records.isGone(run));
  };
  return {
    runs,
    roots,
    recover({ rebooted }) {
      runs.records.accountForLost({ rebooted });
      sweep().catch((error: unknown) => log.error({ error: String(error) }, "what lost runs left behind could not all be removed"));
    },
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

/** All cgroups of runs are below it, apart from those of guests. */
const cgroupParent = "/nexus-runs";

function driversFor(
  places: Places,
  o: { images: ImageSource; machine: QemuDriver["probe"]; stack: AsyncDisposableStack },
): { drivers: SandboxDriver[]; bubblewrap: Bubblewrap } {
  const { images, stack } = o;
  const cgroups = findCgroups();
  const bubblewrap =
    process.getuid?.() === 0
      ? createBubblewrapDriver({
          namespaces: stack.use(new NamespaceStock()),
          cgroups,
          cgroupParent: `${cgroupParent}/bubblewrap`,
        })
      : createUserBubblewrapDriver({ directory: join(places.stateDir, "bubblewrap") });
  stack.use(bubblewrap);
  const image = () => images.resolve(trustedImage, () => undefined);
  const directory = join(places.stateDir, "runtime");
  const runtime = async () =>
    chooseRuntime({ directory, cgroups, cgroupParent, image: await image(), candidates: runtimeCandidates(cgroups) });
  if (process.getuid?.() !== 0) return { drivers: [bubblewrap, ...driversOfRoot.map(rootsAlone)], bubblewrap };
  const trusted = { image, runtime, cgroups, cgroupParent };
  const drivers = [
    bubblewrap,
    createTrustedDriver(trusted),
    createPodmanDriver({ ...trusted, directory: join(places.stateDir, "podman") }),
    microvm(places, { ...o, cgroups }),
    createHostDriver({ cgroupParent }),
  ];
  return { drivers, bubblewrap };
}

const driversOfRoot = [
  { name: "oci", reason: "containers of the trusted profile need root's daemon" },
  { name: "podman", reason: "containers of the trusted profile need root's daemon" },
  { name: "qemu", reason: "a virtual machine for one command, which has a user and a cgroup of its own, needs root's daemon" },
  { name: "host", reason: "plain processes need root's daemon, which alone can limit them by cgroups" },
] as const;

/** In place of a driver that only root's daemon can have. */
function rootsAlone({ name, reason }: (typeof driversOfRoot)[number]): SandboxDriver {
  const hint = "profile untrusted with its own driver (bubblewrap) works for every user";
  return {
    name,
    check: async () => ({ works: false, reason, hint }),
    start: () => Promise.reject(new NexusError("not-permitted", reason, { hint })),
    sweep: async () => {},
  };
}

function microvm(
  places: Places,
  { images, machine, cgroups }: { images: ImageSource; machine: QemuDriver["probe"]; cgroups: CgroupHost },
): SandboxDriver {
  const directory = join(places.cacheDir, "vm", "sandbox");
  return createMicrovmDriver({
    parts: async (signal) => {
      const vm = await buildSandboxVm({ directory, packages: join(places.cacheDir, "vm", "mini", "packages"), signal });
      const { lower: root, key } = await images.resolve(trustedImage, () => undefined);
      return { ...vm, rootDisk: await buildRootDisk({ directory: join(directory, "roots"), root, key, signal }) };
    },
    program: async () => {
      const { program, accel } = await machine();
      return { path: program.path, accel };
    },
    workspaces: new WorkspaceDisks(),
    cgroups,
    cgroupParent,
  });
}

/** The lock of a facility in one's hand, for work that begins and ends in different places. */
async function holdFacility(facilities: Facilities, name: Name, run: string): Promise<HeldPlace> {
  const held = Promise.withResolvers<Omit<HeldPlace, typeof Symbol.asyncDispose>>();
  const over = Promise.withResolvers<void>();
  const work = facilities.withFacility(name, run, async (facility) => {
    await facility.remember(AbortSignal.timeout(rememberMs));
    held.resolve({ workspace: facility.workspace, full: facility.full });
    await over.promise;
  });
  work.catch(held.reject);
  const { workspace, full } = await held.promise;
  return {
    workspace,
    full,
    async [Symbol.asyncDispose]() {
      over.resolve();
      await work;
    },
  };
}

const rememberMs = 120_000;
