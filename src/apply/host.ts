import type { IfName } from "../base/names.ts";
import { Firewall } from "../kernel/firewall.ts";
import { deleteLinkAsync, getLink } from "../kernel/links.ts";
import { NamespaceStock } from "../kernel/namespace-stock.ts";
import { NetlinkSocket } from "../kernel/netlink-socket.ts";
import { TapStock } from "../kernel/taps.ts";

/** The sockets through which the daemon speaks to the kernel, open for its whole life: closing the firewall's costs 14 ms and gives up its tables. */
export class Host implements Disposable {
  readonly route: NetlinkSocket;
  /** For connection tracking. */
  readonly netfilter: NetlinkSocket;
  readonly firewall: Firewall;
  readonly namespaces: NamespaceStock;
  readonly taps: TapStock;
  readonly #slow: NetlinkSocket;
  readonly #stack: DisposableStack;

  /** @throws KernelError; EPERM without CAP_NET_ADMIN */
  static open(): Host {
    using stack = new DisposableStack();
    return new Host({
      route: stack.use(NetlinkSocket.open("route")),
      slow: stack.use(NetlinkSocket.open("route")),
      netfilter: stack.use(NetlinkSocket.open("netfilter")),
      firewall: stack.use(Firewall.open()),
      namespaces: stack.use(new NamespaceStock()),
      taps: stack.use(new TapStock()),
      stack,
    });
  }

  private constructor(parts: {
    route: NetlinkSocket;
    netfilter: NetlinkSocket;
    slow: NetlinkSocket;
    firewall: Firewall;
    namespaces: NamespaceStock;
    taps: TapStock;
    stack: DisposableStack;
  }) {
    this.route = parts.route;
    this.netfilter = parts.netfilter;
    this.firewall = parts.firewall;
    this.namespaces = parts.namespaces;
    this.taps = parts.taps;
    this.#slow = parts.slow;
    this.#stack = parts.stack.move();
  }

  /** Deletes a link without holding up the event loop: the kernel takes some 20 ms for each. False when it was gone. */
  async deleteLater(name: IfName): Promise<boolean> {
    const link = getLink(this.route, name);
    return link !== undefined && deleteLinkAsync(this.#slow, link);
  }

  [Symbol.dispose](): void {
    this.#stack.dispose();
  }
}
