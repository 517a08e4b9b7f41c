import { attributeTable } from "../netlink/attributes.ts";
import { ip, string, u32, u8 } from "../netlink/codecs.ts";
import { struct } from "../netlink/struct.ts";
import { bodyOf } from "../netlink/body.ts";

/** struct ifaddrmsg (linux/if_addr.h). `flags` has only the low eight; the attribute has all. */
const addressHeader = struct({ family: u8, prefixLength: u8, flags: u8, scope: u8, index: u32 });

/** struct ifa_cacheinfo: lifetimes in seconds, 0xffffffff for ever; the stamps in hundredths of a second since boot. */
const lifetimes = struct({ preferredSeconds: u32, validSeconds: u32, createdAt: u32, updatedAt: u32 });

/** IFA_* (linux/if_addr.h). */
const addressAttributes = attributeTable({
  address: { number: 1, codec: ip, meaning: "the prefix's address; the other end on point-to-point links" },
  local: { number: 2, codec: ip, meaning: "our own address" },
  label: { number: 3, codec: string, meaning: "name of the address, for old tools" },
  broadcast: { number: 4, codec: ip, meaning: "broadcast address" },
  lifetimes: { number: 6, codec: lifetimes, meaning: "how long it is preferred and valid" },
  flags: { number: 8, codec: u32, meaning: "IFA_F_*" },
  metric: { number: 9, codec: u32, meaning: "metric of the prefix's route" },
  protocol: { number: 11, codec: u8, meaning: "who added it; kernels before 5.18 ignore it" },
});

/** Messages about addresses: RTM_NEWADDR, RTM_DELADDR, RTM_GETADDR. */
export const addressBody = bodyOf("address", addressHeader, addressAttributes);
export type AddressMessage = ReturnType<typeof addressBody.decode>;

/** IFA_F_*. */
export const addressFlags = {
  secondary: 0x01,
  noDuplicateDetection: 0x02,
  duplicate: 0x08,
  deprecated: 0x20,
  tentative: 0x40,
  permanent: 0x80,
  noPrefixRoute: 0x200,
} as const;
