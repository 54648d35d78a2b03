"""A Postfix of the tests' own: a submission server with STARTTLS and logins that keeps all it accepts in one Maildir.

It has its own configuration, queue, users and log, and leaves the machine's Postfix alone. Needs root, as Postfix does.
"""

import atexit
import email
import email.policy
import os
import pwd
import secrets
import shutil
import signal
import subprocess
from dataclasses import dataclass
from email.message import EmailMessage
from pathlib import Path

from machine import Unavailable, free_port, listening, private_directory, program, start_server, stop_group, tail, wait_until

HOST_NAME = "submission.example.test"
KEEPER = "nobody"  # who owns the Maildir

MAIN_CF = """
compatibility_level = 3.6
queue_directory = {directory}/queue
data_directory = {directory}/data
maillog_file = {directory}/log/mail.log
maillog_file_prefixes = {directory}
myhostname = {host_name}
mydestination =
mynetworks =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
smtpd_peername_lookup = no
biff = no
append_dot_mydomain = no
local_header_rewrite_clients =
alias_maps =
alias_database =
local_recipient_maps =
enable_long_queue_ids = yes
in_flow_delay = 0
default_process_limit = {processes}
smtpd_client_connection_count_limit = {connections_per_client}
smtpd_error_sleep_time = 0
message_size_limit = {message_size_limit}
virtual_mailbox_limit = 0

# Whatever is accepted is delivered here, to one Maildir.
virtual_mailbox_domains = static:all
virtual_mailbox_base = {directory}/mail
virtual_mailbox_maps = static:box/
virtual_uid_maps = static:{keeper_uid}
virtual_gid_maps = static:{keeper_gid}

smtpd_tls_security_level = may
smtpd_tls_auth_only = yes
smtpd_tls_loglevel = 1
smtpd_tls_cert_file = {cert_file}
smtpd_tls_key_file = {key_file}

smtpd_sasl_auth_enable = yes
smtpd_sasl_type = cyrus
smtpd_sasl_path = smtpd
smtpd_sasl_security_options = noanonymous
smtpd_sasl_local_domain = {host_name}
cyrus_sasl_config_path = {directory}/sasl

smtpd_relay_restrictions =
smtpd_sender_login_maps = texthash:{directory}/senders
smtpd_sender_restrictions = {sender_restrictions}
smtpd_recipient_restrictions = check_recipient_access texthash:{directory}/recipients, {admission}
{more}
"""

SMTPD_SASL = """
pwcheck_method: auxprop
auxprop_plugin: sasldb
sasldb_path: {directory}/sasl/sasldb2
mech_list: PLAIN LOGIN
"""

MASTER_CF = """
127.0.0.1:{port} inet n - n - - smtpd
127.0.0.1:{tls_port} inet n - n - - smtpd -o smtpd_tls_wrappermode=yes
cleanup   unix n - n - 0 cleanup
qmgr      unix n - n 300 1 qmgr
tlsmgr    unix - - n 1000? 1 tlsmgr
rewrite   unix - - n - - trivial-rewrite
bounce    unix - - n - 0 bounce
defer     unix - - n - 0 bounce
trace     unix - - n - 0 bounce
proxymap  unix - - n - - proxymap
error     unix - - n - - error
retry     unix - - n - - error
virtual   unix - n n - - virtual
anvil     unix - - n - 1 anvil
postlog   unix-dgram n - n - 1 postlogd
"""


@dataclass(frozen=True)
class Arrived:
    """One message in the Maildir; a message to three recipients arrives three times."""

    octets: bytes  # as kept: Return-Path, Delivered-To and Received lead it, lines end in LF
    message: EmailMessage

    @property
    def recipient(self):
        return str(self.message["Delivered-To"])

    @property
    def sender(self):
        return str(self.message["Return-Path"]).strip("<>")


class PrivatePostfix:
    """`with PrivatePostfix(certificates.server(), users={"anna@example.test": "secret"}) as postfix: postfix.port`.

    senders: who may send as what, {address: login}; given, any other pair is refused with 553 5.7.1.
    refused: recipients that get a reply of their own, by address, `local@` or domain: {"nobody@": "550 5.1.1 User unknown"}.
    login: "required", or "none" for a relay that takes mail from anybody.
    """

    def __init__(self, certificate, users=None, senders=None, refused=None, login="required", message_size_limit=35_882_577,
                 processes=100, connections_per_client=0, more=""):
        if os.geteuid() != 0:
            raise Unavailable("Postfix can only be started by root")
        self._program = program("postfix", "postfix")
        self._folder_of_programs = Path("/usr/lib/postfix/sbin")
        self._saslpasswd = program("saslpasswd2", "sasl2-bin")
        self.directory = private_directory("postfix")
        self.port, self.tls_port = free_port(), free_port()
        self.log_file = self.directory / "log" / "mail.log"
        self._process = None
        self._users = {}
        self._make_folders()
        keeper = pwd.getpwnam(KEEPER)
        self._write("main.cf", MAIN_CF.format(
            directory=self.directory, host_name=HOST_NAME, processes=processes, connections_per_client=connections_per_client,
            message_size_limit=message_size_limit, keeper_uid=keeper.pw_uid, keeper_gid=keeper.pw_gid,
            cert_file=certificate.cert_file, key_file=certificate.key_file, more=more,
            sender_restrictions="reject_sender_login_mismatch" if senders else "",
            admission="permit_sasl_authenticated, reject" if login == "required" else "reject_unauth_destination, permit"))
        self._write("master.cf", MASTER_CF.format(port=self.port, tls_port=self.tls_port))
        self._write("sasl/smtpd.conf", SMTPD_SASL.format(directory=self.directory))
        self._write("senders", "".join(f"{address} {owner}\n" for address, owner in (senders or {}).items()))
        self._write("recipients", "".join(f"{key} {reply}\n" for key, reply in (refused or {}).items()))
        for name, password in (users or {}).items():
            self.set_password(name, password)
        self._make_queue()
        atexit.register(self.stop)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stop()

    # Life

    def start(self):
        # Not by "postfix start-fg": its master is a grandchild, which nobody could wait for.
        command = [self._folder_of_programs / "master", "-c", self.directory, "-s"]
        self._process = start_server(command, self.directory / "log" / "start.log")

        def ready():
            if self._process.poll() is not None:
                raise RuntimeError(f"Postfix did not start:\n{tail(self.directory / 'log' / 'start.log')}\n{self.log()}")
            return listening(self.port)

        try:
            wait_until(ready, 30, "Postfix's start")
        except Exception:
            self.stop()
            raise

    def stop(self):
        """Also for the server that is down for a while: start() brings it back on the same ports."""
        if not self._process:
            return
        stop_group(self._process, signal.SIGTERM)
        self._process = None

    # Use

    def set_password(self, login, password):
        """Makes a user, or changes the password: from now on the old one is refused."""
        name, _, realm = login.partition("@")
        secrets_file = self.directory / "sasl" / "sasldb2"
        done = subprocess.run([self._saslpasswd, "-p", "-c", "-f", secrets_file, "-u", realm or HOST_NAME, name],
                              input=password + "\n", capture_output=True, text=True)
        if done.returncode != 0:
            raise RuntimeError(f"saslpasswd2 failed for {login}: {done.stderr.strip()}")
        shutil.chown(secrets_file, "root", "postfix")
        secrets_file.chmod(0o640)
        self._users[login] = password

    def add_user(self, login):
        """A user with a random password, which it returns."""
        self.set_password(login, secrets.token_urlsafe(18))
        return self._users[login]

    def count(self):
        """How many messages have arrived, without reading them."""
        folder = self._box / "new"
        return len(os.listdir(folder)) if folder.exists() else 0

    def messages(self):
        """All that arrived, oldest first."""
        files = sorted((self._box / "new").glob("*"), key=lambda file: (file.stat().st_mtime_ns, file.name))
        kept = [file.read_bytes() for file in files]
        return [Arrived(octets, email.message_from_bytes(octets, policy=email.policy.default)) for octets in kept]

    def wait_for(self, count, timeout=30):
        """The messages, once at least `count` have arrived."""
        wait_until(lambda: self.count() >= count, timeout, f"{count} messages in the Maildir ({self.count()} at first)")
        return self.messages()

    def forget(self):
        """Empties the Maildir."""
        shutil.rmtree(self._box, ignore_errors=True)

    def log(self):
        try:
            return self.log_file.read_text(errors="replace")
        except FileNotFoundError:
            return ""

    def logins_refused(self):
        return sum("authentication failed" in line for line in self.log().splitlines())

    # Inside

    @property
    def _box(self):
        return self.directory / "mail" / "box"

    def _make_folders(self):
        self.directory.chmod(0o755)  # Postfix's processes walk through it as another user
        for name, owner, mode in (("queue", None, 0o755), ("data", "postfix", 0o700), ("log", None, 0o755), ("sasl", None, 0o755),
                                  ("mail", KEEPER, 0o700)):
            folder = self.directory / name
            folder.mkdir(mode=mode)
            if owner:
                shutil.chown(folder, owner)

    def _make_queue(self):
        done = subprocess.run([self._program, "-c", self.directory, "check"], capture_output=True, text=True)
        if done.returncode != 0:
            raise RuntimeError(f"postfix check failed:\n{done.stderr}\n{self.log()}")

    def _write(self, name, text):
        (self.directory / name).write_text(text.lstrip())
