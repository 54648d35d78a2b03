"""What the real servers of the tests need from the machine: free ports, private directories, other users, an orderly end.

Nothing here outlives the process that asked for it: directories go at exit, servers get a signal when their parent dies.
"""

import atexit
import ctypes
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path


class Unavailable(Exception):
    """This machine lacks something; the text says what and how to get it. Tests turn it into a skip."""


def program(name, package, *folders):
    """The path of a program, searched where Debian keeps it besides PATH."""
    found = shutil.which(name, path=os.pathsep.join([*map(str, folders), os.environ.get("PATH", ""), "/usr/sbin", "/sbin"]))
    if not found:
        raise Unavailable(f"{name} is not installed (Debian: apt-get install {package})")
    return found


def free_port():
    """A TCP port of 127.0.0.1 that nobody listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def listening(port):
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
        return True
    except OSError:
        return False


def wait_until(condition, timeout, what, every=0.02):
    """The first true value of condition(); raises TimeoutError naming `what` after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {timeout} s")
        time.sleep(every)


def memory_folder():
    """A file system in memory with much room (ours: 6 GiB, in it and in memory), or None."""
    folder, room = Path("/dev/shm"), 6 << 30
    if not os.access(folder, os.W_OK) or shutil.disk_usage(folder).free < room:
        return None
    available = re.search(r"^MemAvailable: +(\d+) kB", Path("/proc/meminfo").read_text(), re.MULTILINE)
    return folder if available and int(available[1]) << 10 > room else None


def private_directory(name, owner=None, parent=None):
    """A temporary directory that is removed at exit; of `owner` where this process may give it away."""
    directory = Path(tempfile.mkdtemp(prefix=f"mailroom-{name}-", dir=parent))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    if owner and os.geteuid() == 0:
        account = pwd.getpwnam(owner)
        os.chown(directory, account.pw_uid, account.pw_gid)
    return directory


def unprivileged_user(*preferred):
    """Who runs a server that refuses to run as root: the first user that exists, at last nobody."""
    for name in (*preferred, "nobody"):
        try:
            return pwd.getpwnam(name).pw_name
        except KeyError:
            pass
    raise Unavailable("there is no unprivileged user to run a server as")


def run_as(user, command):
    """The command line that runs `command` as `user` when this process is root; as it is otherwise."""
    if os.geteuid() != 0:
        return [*map(str, command)]
    group = pwd.getpwnam(user).pw_gid
    return [program("setpriv", "util-linux"), f"--reuid={user}", f"--regid={group}", "--init-groups", *map(str, command)]


def private_mount(*mounts):
    """The command that becomes another in a mount namespace of its own, with these mounts in it."""
    script = "set -e\n" + "\n".join(f"mount {mount}" for mount in mounts) + '\nexec "$@"'
    command = ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh"]
    done = subprocess.run([*command, "true"], capture_output=True, text=True)
    if done.returncode != 0:
        raise Unavailable(f"mount namespaces cannot be made here: {done.stderr.strip()}")
    return command


def start_server(command, log, die_with="TERM", environment=None):
    """Starts a server in a process group of its own; `die_with` is the signal that it gets when this process dies."""
    adopt_orphans()
    end_orderly_at_sigterm()
    with open(log, "ab") as out:
        process = subprocess.Popen([*map(str, command)], stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd="/",
                                   start_new_session=True, env={**os.environ, **(environment or {})})
    # Not prctl's parent death signal: it is lost when a server changes its user, as Postfix does.
    process.guard = subprocess.Popen(["sh", "-c", 'read _; kill -s "$0" "$1"', die_with, str(process.pid)], stdin=subprocess.PIPE,
                                     stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/", start_new_session=True)
    return process


def dismiss_guard(process):
    """To be called before a server ends as it should: its number may soon be another's."""
    process.guard.kill()
    process.guard.communicate()


def end_orderly_at_sigterm():
    """By default SIGTERM ends Python without running what is to run at exit."""
    if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))


def adopt_orphans():
    """What a dead server leaves behind becomes a child of this process, so that stop_group() can wait for it."""
    pr_set_child_subreaper = 36  # linux/prctl.h
    ctypes.CDLL(None, use_errno=True).prctl(pr_set_child_subreaper, 1, 0, 0, 0)


def children(pid):
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except OSError:
        return []
    return [int(word) for word in text.split()]


def send(pid, number):
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


def kill_tree(process):
    """SIGKILL to a server and its children at once, as a power cut would."""
    dismiss_guard(process)
    if process.poll() is not None:
        return
    send(process.pid, signal.SIGSTOP)  # so that it starts no other child meanwhile
    victims = children(process.pid)
    for pid in (*victims, process.pid):
        send(pid, signal.SIGKILL)
    process.wait()
    for pid in victims:
        try:
            os.waitpid(pid, 0)
        except ChildProcessError:
            pass  # it ended by itself just before


def stop_group(process, number=signal.SIGTERM, timeout=20):
    """Signals a server and waits until its whole process group is gone; SIGKILL after `timeout` seconds."""
    dismiss_guard(process)
    if process.poll() is None:
        send(process.pid, number)
    try:
        process.wait(timeout)
        wait_until(lambda: group_gone(process.pid), timeout, "the server's end")
    except (TimeoutError, subprocess.TimeoutExpired):
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        wait_until(lambda: group_gone(process.pid), timeout, "the server's end by SIGKILL")


def group_gone(group):
    try:
        while os.waitpid(-group, os.WNOHANG)[0]:
            pass
        return False
    except ChildProcessError:
        return True


def tail(path, lines=20):
    try:
        return "\n".join(Path(path).read_text(errors="replace").splitlines()[-lines:])
    except OSError:
        return "(no log)"
