"""A private copy of this machine's system with a systemd of its own, to install packages and run units in: an overlay over /
that lives in memory, in namespaces of its own. Only the network is the machine's, so that it reaches the tests' servers.

Needs root. Everything in it, processes and files, is gone when its first process ends, at the latest with the tests.
"""

import atexit
import os
import secrets
import subprocess
from dataclasses import dataclass
from pathlib import Path

from machine import Unavailable, children, private_directory, program, start_server, stop_group, tail, wait_until
from systemd_manager import unified_hierarchy

TARGET = "private.target"
# What is of no use there, or would touch what is not private.
MASKED = ["systemd-udevd.service", "systemd-udev-trigger.service", "systemd-modules-load.service", "systemd-sysctl.service",
          "systemd-remount-fs.service", "systemd-tmpfiles-clean.timer", "systemd-random-seed.service", "systemd-hwdb-update.service",
          "systemd-update-utmp.service", "systemd-networkd.service", "systemd-timesyncd.service", "tmp.mount"]

# In a control group of its own, so that systemd takes that for the root of all.
BEGIN = """
echo $$ >"$1/cgroup.procs"
shift
exec unshare --mount --pid --fork --kill-child --cgroup --uts --ipc sh -c "$@"
"""

SETUP = r"""
set -e
base=$1 shared=$2 target=$3; shift 3
mount --make-rprivate /
mount -t tmpfs -o mode=755 private "$base"
root=$base/root
mkdir "$base/upper" "$base/work" "$root"
mount -t overlay -o "lowerdir=/,upperdir=$base/upper,workdir=$base/work" private "$root"
[ -e "$root/var/lib/dpkg/status" ] # the system lies on one file system
mount --bind "$shared" "$root/mnt"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mount -t sysfs -o ro sysfs "$root/sys"
for folder in run tmp var/tmp; do mount -t tmpfs -o mode=1777 private "$root/$folder"; done
chmod 755 "$root/run"
mount -t cgroup2 cgroup "$root/sys/fs/cgroup"
units=$root/etc/systemd/system
rm -rf "$units"/*.wants "$root/usr/sbin/policy-rc.d" # starts nothing of the machine's, and forbids nothing
mkdir -p "$units"
for unit; do ln -sf /dev/null "$units/$unit"; done
printf '[Unit]\nDescription=Private\nRequires=basic.target\nAfter=basic.target\n' >"$units/$target"
mkdir "$base/root/tmp/machine"
cd "$root"
pivot_root . tmp/machine # not chroot: nobody may make a user namespace there
umount -l /tmp/machine
mount --make-rshared / # as systemd wants it from who makes a container: credentials are mounted by another namespace
exec env -i container=private PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 \
    /lib/systemd/systemd --system --unit="$target" --log-target=console --show-status=0
"""


@dataclass(frozen=True)
class Done:
    code: int
    out: str  # standard output and standard error


class PrivateSystem:
    """`with PrivateSystem(shared=folder) as system: system.run("dpkg", "-i", "/mnt/a.deb")`; `shared` is its /mnt."""

    def __init__(self, shared):
        if os.geteuid() != 0:
            raise Unavailable("a private system needs root")
        if not Path("/lib/systemd/systemd").exists():
            raise Unavailable("systemd is not installed (Debian: apt-get install systemd)")
        self._shared = Path(shared).resolve()
        self._directory = private_directory("system")
        self._base = self._directory / "base"
        self._base.mkdir()
        self._log = self._directory / "systemd.log"
        self._cgroup = unified_hierarchy() / ("mailroom-test-" + secrets.token_hex(4))
        self._process = None
        self._manager = None
        atexit.register(self.stop)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def start(self):
        try:
            self._cgroup.mkdir()
        except OSError as error:
            raise Unavailable(f"no control group of one's own here: {error}") from None
        command = ["sh", "-c", BEGIN, "sh", self._cgroup, SETUP, "sh", self._base, self._shared, TARGET, *MASKED]
        self._process = start_server(command, self._log, die_with="KILL")
        try:
            wait_until(self._is_up, 60, "the private system")
        except (TimeoutError, Unavailable):
            self.stop()
            raise Unavailable(f"no private system can be made here:\n{tail(self._log)}") from None

    def stop(self):
        if self._process and self._process.poll() is None:
            stop_group(self._process, 9)
        wait_until(self._forget_cgroup, 20, "the end of the private system's control groups")

    def run(self, *command, check=True, input=None, timeout=180):
        """A command in it, as root."""
        done = subprocess.run(
            [program("nsenter", "util-linux"), f"--target={self._manager}", "--mount", "--pid", "--cgroup", "--uts", "--ipc", "--root", "--wd",
             "env", "-i", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8", "DEBIAN_FRONTEND=noninteractive",
             *map(str, command)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", input=input, timeout=timeout)
        if check and done.returncode != 0:
            raise AssertionError(f"{' '.join(map(str, command))} ended with {done.returncode}:\n{done.stdout}")
        return Done(done.returncode, done.stdout)

    def shell(self, script, **options):
        return self.run("bash", "-c", script, **options)

    def write(self, path, text):
        self.run("tee", path, input=text)

    def systemctl(self, *arguments, **options):
        return self.run("systemctl", "--no-pager", *arguments, **options).out.strip()

    def _forget_cgroup(self):
        try:
            for folder in sorted(self._cgroup.rglob("*/"), reverse=True):
                folder.rmdir()
            self._cgroup.rmdir()
        except FileNotFoundError:
            pass
        except OSError:
            return False  # the last of its processes is about to end
        return True

    def _is_up(self):
        if self._process.poll() is not None:
            raise Unavailable("it ended")
        if self._manager is None:
            found = children(self._process.pid)
            if not found or Path(f"/proc/{found[0]}/comm").read_text().strip() != "systemd":
                return False
            self._manager = found[0]
        return self.run("systemctl", "is-active", TARGET, check=False).out.strip() == "active"
