import { isErrno } from "../sys/errno.ts";
import { changeLink } from "./links.ts";
import { NetlinkSocket } from "./netlink-socket.ts";

/** No interface has this index: the kernel looks at the caller's rights first, and then finds nothing to change. */
const nobody = 0x7fffffff;

/** Whether this process has CAP_NET_ADMIN over its network namespace, by asking the kernel for a change that changes nothing. @throws KernelError */
export function mayAdministerNetworks(): boolean {
  using route = NetlinkSocket.open("route");
  try {
    changeLink(route, nobody, { up: true });
  } catch (error) {
    if (isErrno(error, "ENODEV")) return true;
    if (!isErrno(error, "EPERM", "EACCES")) throw error;
  }
  return false;
}
