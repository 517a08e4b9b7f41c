/** Bytes of other programs on one bridge: busybox udhcpc 1.35, ISC dhclient 4.4.3 and dnsmasq 2.90, captured by tcpdump. */

/** `udhcpc -O 26 -O 119 -O 121` */
export const clientDiscover = dhcp(
  "01010600a2c2865a000000000000000000000000000000000000000002000000010100000000000000000000",
  "35010139020240370a0103060c0f1a1c2a77793c0c756468637020312e33352e303d0701020000000101ff",
  300,
);
/** The same client, for the address it was offered. */
export const clientRequest = dhcp(
  "01010600a2c2865a000000000000000000000000000000000000000002000000010100000000000000000000",
  "35010332040a4d000a36040a4d000139020240370a0103060c0f1a1c2a77793c0c756468637020312e33352e303d0701020000000101ff",
  300,
);
/** `dhclient` with a client identifier and a host name of its own. */
export const dhclientDiscover = dhcp(
  "010106009c0c3766000000000000000000000000000000000000000002000000010100000000000000000000",
  "3501010c06636c6f6e656437070103061a770c0f3d0e636c6f6e6564206d616368696e65ff",
  300,
);
/** dnsmasq's DHCPACK with routes (121), a compressed search list (119) and an MTU (26). */
export const serverAck = dhcp(
  "02010600d5397e3100010000000000000a4d002b0a4d00010000000002000000010100000000000000000000",
  "35010536040a4d0001330400000e103a04000007083b0400000c4e0104ffffff001c040a4d00ff03040a4d00010f0e6c616e2e64656d6f2e6e657875730c03776562790c100a090a4d0002000a4d00017712036c616e0464656d6f056e6578757300c0041a020578ff",
  345,
);

/** A message from its head, up to the hardware address, and its options; what lies between and after is zeros. */
function dhcp(head: string, options: string, length: number): Buffer {
  const out = Buffer.alloc(length);
  out.set(Buffer.from(head, "hex"));
  out.set(Buffer.from(`63825363${options}`, "hex"), 236);
  return out;
}
