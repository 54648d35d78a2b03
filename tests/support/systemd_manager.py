"""A real systemd in namespaces of its own: it sees this machine's files and none of its units, and what it writes is gone with it."""

import os
import secrets
import subprocess
from pathlib import Path

from machine import Unavailable, children, private_directory, program, start_server, stop_group, tail, wait_until

# Its own view of processes, of control groups, and of the folders that a service writes to.
BOOT = """set -e
echo $$ >"$1/cgroup.procs"
exec unshare --mount --pid --cgroup --uts --ipc --fork --kill-child sh -c '
    set -e
    mount --make-rprivate /
    mount -t proc proc /proc
    umount -R -l /sys/fs/cgroup
    mount -t cgroup2 cgroup2 /sys/fs/cgroup
    for folder in /run /var/lib /var/log; do mount -t tmpfs -o mode=755 tmpfs $folder; done
    mkdir /run/given
    mount --bind "$1" /run/given
    mount --make-rshared /
    export SYSTEMD_UNIT_PATH=/run/given/units SYSTEMD_GENERATOR_PATH=/nowhere SYSTEMD_LOG_TARGET=console container=tests
    exec /lib/systemd/systemd --system --unit=basic.target --show-status=no' sh "$2"
"""
TARGETS = ("basic", "sysinit", "shutdown", "network-online")  # what units take for granted, empty


class SystemdManager:
    """`with SystemdManager() as systemd: systemd.systemctl("start", "x.service")`. `directory` is /run/given inside."""

    def __init__(self):
        self.directory = private_directory("systemd")
        self.directory.chmod(0o755)
        self.units = self.directory / "units"
        self.units.mkdir()
        self._log_file = self.directory / "systemd.log"
        self._process = None
        self._cgroup = None

    def __enter__(self):
        program("unshare", "util-linux")
        if os.geteuid() != 0 or not Path("/lib/systemd/systemd").exists():
            raise Unavailable("a systemd of the tests' own needs root and systemd (Debian: apt-get install systemd)")
        for name in TARGETS:
            (self.units / f"{name}.target").write_text("[Unit]\nDefaultDependencies=no\n")
        self._cgroup = unified_hierarchy() / ("mailroom-test-" + secrets.token_hex(4))
        try:
            self._cgroup.mkdir()
        except OSError as error:
            raise Unavailable(f"no control group of one's own here: {error}") from None
        self._process = start_server(["sh", "-c", BOOT, "sh", self._cgroup, self.directory], self._log_file, die_with="KILL")
        try:
            wait_until(lambda: self.systemctl("is-active", "basic.target", check=False) == "active", 20, "systemd's start")
        except TimeoutError:
            self.__exit__()
            raise Unavailable(f"systemd does not run in namespaces here:\n{tail(self._log_file)}") from None
        return self

    def __exit__(self, *_):
        if self._process:
            stop_group(self._process, 9, 30)
        wait_until(self._forget_cgroups, 20, "the end of systemd's control groups")

    def _forget_cgroups(self):
        try:
            for folder in sorted(self._cgroup.rglob("*/"), reverse=True):
                folder.rmdir()
            self._cgroup.rmdir()
            return True
        except OSError:
            return False

    @property
    def _pid(self):
        """Of systemd, as seen from here; None: not yet."""
        found = children(self._process.pid)
        return found[0] if found else None

    def root(self, path):
        """A file as the services see it."""
        return Path(f"/proc/{self._pid}/root") / str(path).lstrip("/")

    def bind(self, folder, name):
        """Shows a folder of this machine at /run/given/NAME."""
        (self.directory / name).mkdir()
        subprocess.run(["nsenter", "--mount", f"--target={self._pid}", "mount", "--bind", str(folder), f"/run/given/{name}"], check=True)

    def systemctl(self, *arguments, check=True):
        command = ["nsenter", "--mount", "--pid", f"--target={self._pid}", "systemctl", *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        if check and done.returncode != 0:
            raise AssertionError(f"systemctl {arguments} ended with {done.returncode}: {done.stdout}{done.stderr}\n{self._complaints()}")
        return done.stdout.strip()

    def _complaints(self):
        errors = self.directory / "errors"  # where a unit may send them: there is no journal
        return tail(self._log_file, 30) + (tail(errors, 30) if errors.exists() else "")

    def property(self, unit, name):
        return self.systemctl("show", "--value", "--property", name, unit)


def unified_hierarchy():
    for line in Path("/proc/mounts").read_text().splitlines():
        _, folder, kind, options, *_ = line.split()
        if kind == "cgroup2" and "rw" in options.split(","):
            return Path(folder)
    raise Unavailable("this machine has no control groups of version 2")
