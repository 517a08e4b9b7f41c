/**
 * What the mini virtual machine runs, as text. It speaks the kernel's own `ip=` (Documentation/admin-guide/nfs/nfsroot.rst), which
 * the kernel itself cannot follow, its drivers being modules, and for the rest words that begin with `nexus.`:
 * `nexus.ip6=<device>,<address>/<bits>,<gateway>`, `nexus.dns=<address>,…`, `nexus.search=<domain>,…`.
 * A card that no word names asks by DHCP.
 */
export const miniFiles: Readonly<Record<string, { mode: number; text: string }>> = {
  init: {
    mode: 0o755,
    text: `#!/bin/sh
export PATH=/bin
mount -t devtmpfs -o mode=755 dev /dev
mount -t proc proc /proc
mount -t sysfs sys /sys
exec /bin/init
`,
  },
  "etc/inittab": {
    mode: 0o644,
    text: `::sysinit:/etc/begin
::respawn:/etc/agent
::once:/etc/rest
ttyS0::respawn:/etc/console
::ctrlaltdel:/bin/reboot
::shutdown:/bin/umount -a -r
`,
  },
  // Only what the agent needs: it answers while the rest is still being set up.
  "etc/begin": {
    mode: 0o755,
    text: `#!/bin/sh
mkdir -p /dev/pts /dev/shm
mount -t devpts -o mode=620,gid=5 devpts /dev/pts
mount -t tmpfs -o mode=755 run /run
mount -t tmpfs -o mode=1777 tmp /tmp
ln -s /proc/self/fd /dev/fd
for word in $(cat /proc/cmdline); do
  case $word in nexus.hostname=*) hostname "\${word#*=}"; echo "127.0.0.1 localhost \${word#*=}" >/etc/hosts ;; esac
done
for module in $(cat /lib/modules/first); do insmod /lib/modules/$module.ko 2>/dev/null; done
env=/sys/firmware/qemu_fw_cfg/by_name/opt/nexus/env/raw
[ ! -e $env ] || cat $env >/etc/environment.sh
:
`,
  },
  "etc/rest": {
    mode: 0o755,
    text: `#!/bin/sh
for module in $(cat /lib/modules/rest); do insmod /lib/modules/$module.ko 2>/dev/null; done
for word in $(cat /proc/cmdline); do
  case $word in
    nexus.dns=*) for address in $(echo "\${word#*=}" | tr , ' '); do echo "nameserver $address"; done >>/etc/resolv.conf ;;
    nexus.search=*) echo "search $(echo "\${word#*=}" | tr , ' ')" >>/etc/resolv.conf ;;
  esac
done
ip link set lo up
cards=
for device in /sys/class/net/*; do
  [ "\${device##*/}" = lo ] || { /etc/network "\${device##*/}" & cards="$cards $!"; }
done
acpid -c /etc/acpi -l /dev/null 2>/dev/null
setup=/sys/firmware/qemu_fw_cfg/by_name/opt/nexus/setup/raw
[ -e $setup ] || exit 0
mkdir -p -m 700 /run/nexus
cat $setup >/run/nexus/setup
wait $cards
exec sh /run/nexus/setup
`,
  },
  "etc/agent": {
    mode: 0o755,
    text: `#!/bin/sh
[ ! -e /etc/environment.sh ] || . /etc/environment.sh
export HOME=/root
for port in /sys/class/virtio-ports/*; do
  [ "$(cat $port/name 2>/dev/null)" = org.qemu.guest_agent.0 ] || continue
  exec /bin/qemu-ga -m virtio-serial -p /dev/\${port##*/} -t /run </dev/null >/dev/null 2>&1
done
exec sleep 2147483647
`,
  },
  "etc/console": {
    mode: 0o755,
    text: `#!/bin/sh
[ ! -e /etc/environment.sh ] || . /etc/environment.sh
export HOME=/root TERM=vt102
cd
exec /bin/sh -l
`,
  },
  "etc/network": {
    mode: 0o755,
    text: `#!/bin/sh
device=$1
ip link set "$device" up
told=
for word in $(cat /proc/cmdline); do
  case $word in
    ip=*:$device:*)
      told=1
      IFS=: read -r address server gateway mask name rest <<END
\${word#ip=}
END
      ifconfig "$device" "$address" netmask "$mask"
      [ -z "$gateway" ] || ip route replace default via "$gateway" dev "$device"
      ;;
    nexus.ip6=$device,*)
      told=1
      IFS=, read -r name address gateway <<END
\${word#nexus.ip6=}
END
      echo 0 >"/proc/sys/net/ipv6/conf/$device/accept_dad"
      ip -6 addr add "$address" dev "$device"
      [ -z "$gateway" ] || ip -6 route replace default via "$gateway" dev "$device"
      ;;
  esac
done
[ -n "$told" ] || exec udhcpc -b -S -i "$device" -s /etc/lease -x hostname:"$(hostname)" >/dev/null 2>&1
`,
  },
  "etc/lease": {
    mode: 0o755,
    text: `#!/bin/sh
case $1 in
  deconfig) ip -4 addr flush dev "$interface" ;;
  bound | renew)
    ifconfig "$interface" "$ip" netmask "\${subnet:-255.255.255.0}"
    [ -z "$mtu" ] || ip link set "$interface" mtu "$mtu"
    for gateway in $router; do
      ip route replace default via "$gateway" dev "$interface"
      break
    done
    {
      [ -z "$domain" ] || echo "search \${search:-$domain}"
      for address in $dns; do echo "nameserver $address"; done
    } >/etc/resolv.conf
    ;;
esac
`,
  },
  "etc/acpi/PWRF/00000080": { mode: 0o755, text: "#!/bin/sh\nexec shutdown -P\n" },
  // What the guest agent calls: shutdown -h -P|-H|-r +0 words. init would do the same, with seconds of sleep between.
  "bin/shutdown": {
    mode: 0o755,
    text: `#!/bin/sh
# The button and the agent may both call this at once: neither is to end the other.
trap '' TERM
case " $* " in
  *" -r "*) act=reboot ;;
  *" -H "*) act=halt ;;
  *) act=poweroff ;;
esac
kill -TERM -1
sleep 0.2
sync
umount -a -r 2>/dev/null
exec $act -f
`,
  },
  "etc/profile": { mode: 0o644, text: "export PATH=/bin PS1='\\h:\\w\\$ '\n" },
  "etc/passwd": { mode: 0o644, text: "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n" },
  "etc/group": { mode: 0o644, text: "root:x:0:\ntty:x:5:\nnogroup:x:65534:\n" },
  "etc/hosts": { mode: 0o644, text: "127.0.0.1 localhost\n" },
  "etc/os-release": { mode: 0o644, text: 'NAME="Nexus mini"\nID=nexus-mini\n' },
};

/** Those the agent needs come first, and the one that tells QEMU of a panic; those they depend on come along. Absent ones are built into the kernel. */
export const firstModules: readonly string[] = ["virtio_pci", "virtio_mmio", "virtio_console", "qemu_fw_cfg", "pvpanic_pci"];

export const restModules: readonly string[] = [
  "virtio_net",
  "virtio_blk",
  "virtio_rng",
  "virtio_balloon",
  "button",
  "evdev",
  "9pnet_virtio",
  "9p",
  "virtiofs",
  "vmw_vsock_virtio_transport",
];

/** For disks that are mounted, and only then. */
export const diskModules: readonly string[] = ["crc32c_generic", "ext4"];
