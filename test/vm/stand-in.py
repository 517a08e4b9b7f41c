#!/usr/bin/env python3
"""Stands in for QEMU, as far as nexusd can tell. What is in the namespace vm-<guest> is then the guest: its eth0 has the card's MAC,
and frames go between it and the tap that nexusd handed over. Guests called many-* are there and do nothing; those called pxe-* are
real, and boot from their card's own ROM. Everything else is the real QEMU, which is at $REAL."""
import ctypes, errno, fcntl, json, os, re, selectors, socket, struct, subprocess, sys

REAL = "/run/real-qemu"
CLONE_NEWNET = 0x40000000
TUNSETIFF, TUNSETVNETHDRSZ = 0x400454CA, 0x400454D8
TAP_FLAGS = 0x2 | 0x1000 | 0x4000  # IFF_TAP | IFF_NO_PI | IFF_VNET_HDR

words = sys.argv[1:]


def value(flag):
    return words[words.index(flag) + 1] if flag in words else ""


def run_real(arguments):
    """It looks for its firmware beside itself, where it is not."""
    places = ["/usr/share/qemu", "/usr/share/seabios", "/usr/lib/ipxe/qemu"]
    os.execv(REAL, [REAL] + [word for place in places for word in ("-L", place)] + arguments)


def boot_from_rom():
    out = []
    for word in words:
        out.append(word.replace("romfile=,", "bootindex=0,"))
    for flag in ("-kernel", "-initrd", "-append"):
        if flag in out:
            at = out.index(flag)
            del out[at : at + 2]
    return out


def open_card(number, mac, mtu):
    fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", b"eth%d" % number, TAP_FLAGS))
    fcntl.ioctl(fd, TUNSETVNETHDRSZ, struct.pack("i", 12))
    subprocess.run(["ip", "link", "set", "eth%d" % number, "address", mac, "mtu", mtu, "up"], check=True)
    return fd


def carry(source, target):
    try:
        while True:
            os.write(target, os.read(source, 1 << 17))
    except OSError as error:
        if error.errno not in (errno.EAGAIN, errno.EIO, errno.EINVAL, errno.EBADFD):
            raise


def answer(connection):
    for line in connection.recv(65536).splitlines():
        asked = json.loads(line)
        name = asked["execute"]
        said = {"query-status": {"running": True, "status": "running"}, "query-chardev": []}.get(name, {})
        connection.sendall(json.dumps({"return": said, "id": asked.get("id")}).encode() + b"\n")
        if name in ("quit", "system_powerdown"):
            sys.exit(0)


guest = re.sub(r"^guest=|,.*", "", value("-name"))
netns = "/run/netns/vm-%s" % guest
if guest.startswith("pxe-"):
    run_real(boot_from_rom())
if not guest.startswith("many-") and not os.path.exists(netns):
    run_real(words)

selector = selectors.DefaultSelector()
if os.path.exists(netns):
    with open(netns) as file:
        if ctypes.CDLL(None).setns(file.fileno(), CLONE_NEWNET) != 0:
            sys.exit("setns failed")
    cards = [word for word in words if "netdev=net" in word]
    taps = [int(re.search(r"fd=(\d+)", word).group(1)) for word in words if word.startswith("tap,")]
    for number, (card, tap) in enumerate(zip(cards, taps)):
        os.set_blocking(tap, False)
        mac, mtu = (re.search(r"%s=([^,]+)" % key, card).group(1) for key in ("mac", "host_mtu"))
        fd = open_card(number, mac, mtu)
        selector.register(fd, selectors.EVENT_READ, lambda fd=fd, tap=tap: carry(fd, tap))
        selector.register(tap, selectors.EVENT_READ, lambda fd=fd, tap=tap: carry(tap, fd))

listener = next(word for word in words if word.startswith("socket,id=monitor,"))
monitor = socket.socket(fileno=int(re.search(r"fd=(\d+)", listener).group(1)))


def greet():
    connection, _ = monitor.accept()
    connection.sendall(b'{"QMP": {"version": {"qemu": {"micro": 0, "minor": 2, "major": 7}, "package": ""}, "capabilities": []}}\n')

    def serve():
        try:
            answer(connection)
        except (OSError, ValueError):
            pass
        try:
            if connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) != b"":
                return
        except BlockingIOError:
            return
        except OSError:
            pass
        selector.unregister(connection)
        connection.close()

    selector.register(connection, selectors.EVENT_READ, serve)


selector.register(monitor, selectors.EVENT_READ, greet)
while True:
    for key, _ in selector.select():
        key.data()
