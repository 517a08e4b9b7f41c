/**
 * What a sandbox's virtual machine runs beside the command. `init` prepares the root: the image below, memory over it, the workspace
 * in it. `runner` reads what to run from the command's drive, and carries its streams, its end, and its connections to the proxy over one
 * virtio port, as src/wire/mux has it.
 */
export const sandboxVmFiles: Readonly<Record<string, { mode: number; text: string }>> = {
  init: {
    mode: 0o755,
    text: `#!/bin/sh
export PATH=/bin
mount -t devtmpfs -o mode=755 dev /dev
mount -t proc proc /proc
mount -t sysfs sys /sys
scratch= files=1024
for word in $(cat /proc/cmdline); do
  case $word in
    nexus.scratch=*) scratch=\${word#*=} ;;
    nexus.files=*) files=\${word#*=} ;;
  esac
done
for module in $(cat /lib/modules/order); do insmod /lib/modules/$module.ko 2>/dev/null; done
ip link set lo up
mkdir -p /image /layer /sandbox
fail() { echo "nexus: $*" >/dev/ttyS0; reboot -f; }
root= command= workspace=
for block in /sys/block/vd*; do
  case $(cat $block/serial) in
    root) root=/dev/\${block##*/} ;;
    command) command=/dev/\${block##*/} ;;
    workspace) workspace=/dev/\${block##*/} ;;
  esac
done
mount -o ro $root /image || fail "the root file system cannot be mounted"
mount -t tmpfs -o size=$scratch layer /layer || fail "there is no memory for a layer"
mkdir /layer/upper /layer/work
mount -t overlay -o lowerdir=/image,upperdir=/layer/upper,workdir=/layer/work,nosuid,nodev root /sandbox || fail "layers cannot be mounted"
cd /sandbox
mkdir -p proc dev tmp run workspace etc
chmod 1777 tmp
mount -t proc -o nosuid,nodev,noexec proc proc
mount -t tmpfs -o mode=755,size=64k,nosuid dev dev
for device in null zero full random urandom; do cp -a /dev/$device dev/; chmod 666 dev/$device; done
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=666,mode=620,gid=5,nosuid,noexec pts dev/pts
mount -t tmpfs -o mode=1777,size=$scratch,nosuid,nodev shm dev/shm
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
ln -s fd/0 dev/stdin
ln -s fd/1 dev/stdout
ln -s fd/2 dev/stderr
rm -f etc/resolv.conf etc/hosts
echo "127.0.0.1 localhost sandbox" >etc/hosts
hostname sandbox
if [ -n "$workspace" ]; then mount -o nosuid,nodev $workspace workspace || fail "the workspace cannot be mounted"; fi
cd /
for port in /sys/class/virtio-ports/*; do
  [ "$(cat $port/name 2>/dev/null)" = nexus ] && break
done
( ulimit -n $files; exec /bin/perl /runner /dev/\${port##*/} $command )
umount /sandbox/workspace 2>/dev/null
sync
reboot -f
`,
  },
  runner: {
    mode: 0o644,
    text: String.raw`
# Frames: length of payload, kind, stream; kinds and streams as in src/wire/mux.
my ($OPEN, $DATA, $END, $CREDIT, $RESET, $SIGNAL, $EXIT, $RESIZE) = 1 .. 8;
my $WINDOW = 262144;
$SIG{PIPE} = "IGNORE";
$SIG{CHLD} = sub { };

my @items = items($ARGV[1]);
my ($cwd, $uid, $gid, $egress, $columns, $rows) = splice @items, 0, 6;
my $argc = shift @items;
my @command = splice @items, 0, $argc;
my %environment = map { split /=/, $_, 2 } @items;

sysopen(my $port, $ARGV[0], 02 | 04000) or die "port: $!";
my ($in, $out) = ("", "");
# By stream: handle to read, handle to write, what is to be written, credit to send, what was taken and not told.
my (%read, %write, %waiting, %ending, %credit, %taken);
my $next = 16;

my $listener;
if ($egress) {
  socket($listener, 2, 1, 0) or die "socket: $!";
  bind($listener, pack("S n C4 x8", 2, $egress, 127, 0, 0, 1)) or die "bind: $!";
  listen($listener, 128) or die "listen: $!";
  unblock($listener);
}

my ($terminal, $name);
my ($stdin, $stdout, $stderr, @inner);
if ($columns) {
  sysopen($terminal, "/sandbox/dev/pts/ptmx", 02) or die "terminal: $!";
  my $number = pack("i", 0);
  ioctl($terminal, 0x40045431, $number) or die "terminal: $!";
  ioctl($terminal, 0x80045430, $number) or die "terminal: $!";
  $name = "/dev/pts/" . unpack("i", $number);
  chown $uid, 5, "/sandbox$name";
  size($columns, $rows);
} else {
  pipe($inner[0], $stdin) and pipe($stdout, $inner[1]) and pipe($stderr, $inner[2]) or die "pipe: $!";
}

my $child = fork;
defined $child or die "fork: $!";
command() if $child == 0;
close $_ for @inner;

if ($columns) {
  unblock($terminal);
  ($read{2}, $write{1}) = ($terminal, $terminal);
} else {
  unblock($_) for $stdin, $stdout, $stderr;
  ($write{1}, $read{2}, $read{3}) = ($stdin, $stdout, $stderr);
}
$credit{$_} = $WINDOW for 2, 3;

my $status;
while (1) {
  if (!defined $status && waitpid($child, 1) == $child) {
    $status = $?;
    kill 9, -1;
  }
  last if defined $status && !$read{2} && !$read{3};
  step(0.05);
}
1 while waitpid(-1, 1) > 0;
my $code = $status & 127 ? 128 + ($status & 127) : $status >> 8;
frame($EXIT, 0, pack("NN", $code, killed()));
step(1) while length $out;
exit 0;

sub step {
  my ($seconds) = @_;
  my ($r, $w) = ("", "");
  vec($r, fileno($port), 1) = 1;
  vec($w, fileno($port), 1) = 1 if length $out;
  vec($r, fileno($listener), 1) = 1 if $listener && !defined $status;
  for (keys %read) { vec($r, fileno($read{$_}), 1) = 1 if $credit{$_} > 0 && length($out) < $WINDOW }
  for (keys %write) { vec($w, fileno($write{$_}), 1) = 1 if length($waiting{$_} // "") || $ending{$_} }
  my $found = select($r, $w, undef, $seconds);
  return if $found <= 0;
  if (vec($w, fileno($port), 1)) {
    my $n = syswrite($port, $out, 65536);
    substr($out, 0, $n) = "" if $n;
  }
  if (vec($r, fileno($port), 1)) {
    my $n = sysread($port, $in, 65536, length $in);
    exit 1 if defined $n && $n == 0;
    frames();
  }
  for (keys %write) { put($_) if $write{$_} && vec($w, fileno($write{$_}), 1) }
  for (keys %read) { take($_) if $read{$_} && vec($r, fileno($read{$_}), 1) }
  if ($listener && vec($r, fileno($listener), 1) && accept(my $connection, $listener)) {
    unblock($connection);
    my $stream = $next++;
    ($read{$stream}, $write{$stream}, $credit{$stream}) = ($connection, $connection, $WINDOW);
    frame($OPEN, $stream, "");
  }
}

sub frames {
  while (length $in >= 9) {
    my ($length, $kind, $stream) = unpack("N C N", $in);
    last if length $in < 9 + $length;
    my $payload = substr($in, 9, $length);
    substr($in, 0, 9 + $length) = "";
    if ($kind == $DATA) { $waiting{$stream} .= $payload if $write{$stream} }
    elsif ($kind == $END) { $ending{$stream} = 1 if $write{$stream} }
    elsif ($kind == $CREDIT) { $credit{$stream} += unpack("N", $payload) if exists $credit{$stream} }
    elsif ($kind == $RESET) { forget($stream) }
    elsif ($kind == $SIGNAL) { kill unpack("N", $payload), -$child unless defined $status }
    elsif ($kind == $RESIZE) { size(unpack("nn", $payload)) if $terminal }
  }
}

sub put {
  my ($stream) = @_;
  if (length $waiting{$stream}) {
    my $n = syswrite($write{$stream}, $waiting{$stream}, 65536);
    if (!defined $n) {
      return if $! == 11;
      return $stream == 1 ? drop($stream) : reset_stream($stream);
    }
    substr($waiting{$stream}, 0, $n) = "";
    frame($CREDIT, $stream, pack("N", $n));
  }
  return if length($waiting{$stream} // "") || !$ending{$stream};
  delete $ending{$stream};
  if ($stream == 1) {
    return syswrite($terminal, "\x04") if $terminal;
    return drop($stream);
  }
  shutdown($write{$stream}, 1);
  delete $write{$stream};
}

sub take {
  my ($stream) = @_;
  my $most = $credit{$stream} < 65536 ? $credit{$stream} : 65536;
  my $n = sysread($read{$stream}, my $bytes, $most);
  return if !defined $n && $! == 11;
  if ($n) {
    $credit{$stream} -= $n;
    return frame($DATA, $stream, $bytes);
  }
  return reset_stream($stream) if !defined $n && $stream >= 16;
  delete $read{$stream};
  frame($END, $stream, "");
}

# Nobody reads it any more.
sub drop {
  my ($stream) = @_;
  close $write{$stream} unless $terminal;
  delete $write{$stream};
  delete $waiting{$stream};
  frame($RESET, $stream, "");
}

sub reset_stream {
  my ($stream) = @_;
  frame($RESET, $stream, "");
  forget($stream);
}

sub forget {
  my ($stream) = @_;
  return if $stream < 16;
  my $handle = $read{$stream} || $write{$stream};
  delete $_->{$stream} for \%read, \%write, \%waiting, \%ending, \%credit;
  close $handle if $handle;
}

sub frame {
  my ($kind, $stream, $payload) = @_;
  $out .= pack("N C N", length $payload, $kind, $stream) . $payload;
}

sub command {
  syscall(setsid_number());
  if ($columns) {
    open(my $side, "+<", "/sandbox$name") or die "terminal: $!";
    @inner = ($side, $side, $side);
  }
  duplicate($inner[0], 0);
  duplicate($inner[1], 1);
  duplicate($inner[2], 2);
  $SIG{PIPE} = "DEFAULT";
  $SIG{CHLD} = "DEFAULT";
  chroot "/sandbox" or fault(126, "chroot: $!");
  chdir $cwd or fault(127, "$cwd: $!");
  $( = $gid;
  $) = "$gid $gid";
  $> = $< = $uid;
  ($>, $<) = ($uid, $uid);
  fault(126, "the user could not be changed") if $> != $uid || $< != $uid;
  %ENV = %environment;
  { exec { $command[0] } @command }
  my ($absent, $why) = ($! == 2, "$!");
  $why = "command not found" if $absent && $command[0] !~ m{/};
  syswrite(STDERR, "$command[0]: $why\n");
  exit($absent ? 127 : 126);
}

sub duplicate {
  my ($from, $to) = @_;
  my $mode = $to == 0 ? "<&" : ">&";
  my $target = (\*STDIN, \*STDOUT, \*STDERR)[$to];
  open($target, $mode, $from) or exit 126;
}

sub fault {
  my ($code, $words) = @_;
  syswrite(STDERR, "nexus: $words\n");
  exit $code;
}

sub items {
  my ($file) = @_;
  open(my $drive, "<", $file) or die "$file: $!";
  binmode $drive;
  my $need = sub {
    my ($n) = @_;
    my $bytes = "";
    while (length $bytes < $n) { sysread($drive, $bytes, $n - length $bytes, length $bytes) or die "the command's drive is too short" }
    return $bytes;
  };
  my $count = unpack("N", $need->(4));
  return map { $need->(unpack("N", $need->(4))) } 1 .. $count;
}

sub size {
  my ($columns, $rows) = @_;
  my $size = pack("S4", $rows, $columns, 0, 0);
  ioctl($terminal, 0x5414, $size);
}

sub unblock {
  my ($handle) = @_;
  fcntl($handle, 4, fcntl($handle, 3, 0) | 04000);
}

sub killed {
  open(my $events, "<", "/proc/vmstat") or return 0;
  while (<$events>) { return $1 > 0 ? 1 : 0 if /^oom_kill (\d+)/ }
  return 0;
}

sub setsid_number {
  open(my $machine, "<", "/proc/sys/kernel/arch") or return 112;
  return <$machine> =~ /aarch64/ ? 157 : 112;
}
`,
  },
};

/** In the order they are needed; absent ones are built into the kernel. */
export const sandboxModules: readonly string[] = [
  "virtio_pci",
  "virtio_mmio",
  "virtio_console",
  "virtio_blk",
  "crc32c_generic",
  "ext4",
  "overlay",
];
