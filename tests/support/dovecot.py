"""Dovecot's submission service of the tests' own: it knows the users and hands their mail to another server, here a Postfix."""

from machine import program
from postfix import PrivatePostfix
from submission_server import HOST_NAME, REFUSED, SIZE_LIMIT, SubmissionServer

CONFIGURATION = """
base_dir = {directory}/run
state_dir = {directory}/state
log_path = {directory}/dovecot.log
protocols = submission
listen = 127.0.0.1
hostname = {host_name}
ssl = required
ssl_cert = <{directory}/cert.pem
ssl_key = <{directory}/key.pem
auth_mechanisms = plain login
auth_failure_delay = 0
mail_location = maildir:~/mail
passdb {{
  driver = passwd-file
  args = scheme=PLAIN username_format=%u {directory}/users
}}
userdb {{
  driver = static
  args = uid={keeper} gid=nogroup home={directory}/mail/%u
}}
service submission-login {{
  inet_listener submission {{
    port = {port}
  }}
  inet_listener submissions {{
    port = {tls_port}
    ssl = yes
  }}
}}
submission_max_mail_size = {size_limit}
submission_relay_host = 127.0.0.1
submission_relay_port = {relay_port}
submission_relay_trusted = yes
"""


class PrivateDovecot(SubmissionServer):
    """`with PrivateDovecot(certificates.server()) as dovecot: dovecot.add_user("anna@example.test"); dovecot.port`."""

    name = "Dovecot"

    def __init__(self, certificate):
        self._relay = PrivatePostfix(certificate, login="none", refused={f"{REFUSED}@": "550 5.1.1 User unknown"})
        super().__init__(certificate)
        self.box = self._relay.directory / "mail" / "box"

    def configure(self):
        self._program = program("dovecot", "dovecot-submissiond")
        program("submission-login", "dovecot-submissiond", "/usr/lib/dovecot")
        self.write("dovecot.conf", CONFIGURATION.format(directory=self.directory, host_name=HOST_NAME, keeper=self.keeper, port=self.port,
                                                        tls_port=self.tls_port, size_limit=SIZE_LIMIT, relay_port=self._relay.port))
        self.write_users()

    def start(self):
        self._relay.start()
        super().start()

    def stop(self):
        super().stop()
        self._relay.stop()

    def command(self):
        return [self._program, "-F", "-c", self.directory / "dovecot.conf"]

    def write_users(self):
        self.write("users", "".join(f"{login}:{{PLAIN}}{password}\n" for login, password in self.passwords.items()))

    def log(self):
        file = self.directory / "dovecot.log"
        return super().log() + (file.read_text(errors="replace") if file.exists() else "")

    def connections(self):
        return sum("submission-login: Info: Login: " in line for line in self.log().splitlines())
