"""What the tests' own Exim, OpenSMTPD and Dovecot share: a submission server with STARTTLS and logins, in its own folder.

Exim and OpenSMTPD know their files only by names built into them, and their packages put Postfix out. So they are unpacked, not
installed, and live in a mount namespace with their own /var, /run and users. Needs root, as the servers do.
"""

import atexit
import email
import email.policy
import os
import secrets
import shutil
import signal
import subprocess
from pathlib import Path

from machine import Unavailable, free_port, listening, private_directory, program, start_server, stop_group, tail, wait_until
from postfix import HOST_NAME, KEEPER, Arrived

UNPACKED = Path(os.environ.get("MAILROOM_SERVERS") or Path(__file__).resolve().parents[2] / "build" / "servers")
SIZE_LIMIT = 2_000_000  # octets, of a message
REFUSED = "nobody"  # the local part that no server takes mail for

# What a private world is made of is mounted over the machine's; all of it goes with the last process that sees it.
PRIVATE_WORLD = """
set -e
cd {directory}/world
mount --bind passwd /etc/passwd
mount --bind group /etc/group
mount --bind run /run
mount --bind var /var
{mounts}
cd /
exec "$@"
"""


def unpacked(package, name):
    """The program `name` of a package that `./dev test --all` has unpacked."""
    path = UNPACKED / package / name
    if not path.exists():
        raise Unavailable(f"{package} is not unpacked in {UNPACKED} (./dev test --all does that where it can)")
    done = subprocess.run(["ldd", path], capture_output=True, text=True)
    missing = [line.split()[0] for line in done.stdout.splitlines() if "not found" in line]
    if missing:
        raise Unavailable(f"{package} needs {', '.join(missing)} (./dev test --all installs the packages of these)")
    return path


class PrivateWorld:
    """The command line that runs a server among its own users, /var and /run. users: names to be known besides root and the keeper."""

    def __init__(self, directory, users, mounts=()):
        done = subprocess.run(["unshare", "--mount", "true"], capture_output=True, text=True)
        if done.returncode != 0:
            raise Unavailable(f"mount namespaces cannot be made here: {done.stderr.strip()}")
        self._world = directory / "world"
        for folder in ("run", "var/spool", "var/log", "var/lib", "var/mail", "var/tmp"):
            (self._world / folder).mkdir(parents=True)
        (self._world / "var" / "run").symlink_to("/run")
        self.uids = {name: number for number, name in enumerate(users, 61_000)}  # nobody has these; their groups have the same
        for file in ("passwd", "group"):
            known = Path("/etc", file).read_text()
            more = [f"{name}:x:{number}:{number}::/nonexistent:/usr/sbin/nologin" if file == "passwd" else f"{name}:x:{number}:"
                    for name, number in self.uids.items()]
            (self._world / file).write_text(known + "\n".join(more) + "\n")
        self._script = PRIVATE_WORLD.format(directory=directory, mounts="\n".join(f"mount --bind {source} {target}" for source, target in mounts))

    @property
    def var(self):
        return self._world / "var"

    def command(self, *command):
        return [program("unshare", "util-linux"), "--mount", "--propagation", "private", "sh", "-c", self._script, "sh", *command]


class SubmissionServer:
    """A server's life and its mailbox. A kind of server says how it is configured (`configure`), started and what it wrote."""

    name = ""
    logins = True  # it knows users, under TLS
    keeper = KEEPER  # who owns the Maildir

    def __init__(self, certificate):
        if os.geteuid() != 0:
            raise Unavailable(f"{self.name} can only be started by root")
        self.directory = private_directory(self.name.lower())
        self.directory.chmod(0o755)  # its processes walk through it as other users
        self.port, self.tls_port = free_port(), free_port()
        self.passwords = {}
        self.box = self.directory / "mail" / "box"
        self.log_file = self.directory / "server.log"
        self.box.parent.mkdir()
        shutil.chown(self.box.parent, self.keeper)
        # A copy, because keys must not be readable by others.
        for source, name in ((certificate.cert_file, "cert.pem"), (certificate.key_file, "key.pem")):
            shutil.copy(source, self.directory / name)
        (self.directory / "key.pem").chmod(0o600)
        self._process = None
        self.configure()
        atexit.register(self.stop)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def start(self):
        self._process = start_server(self.command(), self.log_file)

        def ready():
            if self._process.poll() is not None:
                raise RuntimeError(f"{self.name} did not start:\n{tail(self.log_file)}\n{self.log()[-2000:]}")
            return listening(self.port)

        try:
            wait_until(ready, 30, f"{self.name}'s start")
        except Exception:
            self.stop()
            raise

    def stop(self):
        if self._process:
            stop_group(self._process, signal.SIGTERM)
            self._process = None

    def add_user(self, login):
        """A user with a random password, which it returns."""
        self.passwords[login] = secrets.token_urlsafe(18)
        self.write_users()
        return self.passwords[login]

    def count(self):
        folder = self.box / "new"
        return len(os.listdir(folder)) if folder.exists() else 0

    def messages(self):
        """All that arrived; lines end in LF."""
        kept = [file.read_bytes() for file in sorted((self.box / "new").glob("*"))]
        return [Arrived(octets, email.message_from_bytes(octets, policy=email.policy.default)) for octets in kept]

    def wait_for(self, count, timeout=30):
        wait_until(lambda: self.count() >= count, timeout, f"{count} messages in {self.name}'s Maildir ({self.count()} at first)")
        return self.messages()

    def forget(self):
        for file in (self.box / "new").glob("*"):
            file.unlink()

    def log(self):
        return self.log_file.read_text(errors="replace") if self.log_file.exists() else ""

    def write(self, name, text, mode=0o644):
        path = self.directory / name
        path.write_text(text.lstrip())
        path.chmod(mode)
        return path
