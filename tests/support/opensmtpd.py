"""An OpenSMTPD of the tests' own: a relay that takes mail from anybody and keeps all it accepts in one Maildir.

Without TLS, and so without logins: the one of Debian 12 offers STARTTLS, but with OpenSSL 3 its separated keys cannot sign
(OpenSMTPD issues 1171 and 1239; with RSA it is no better).
"""

from submission_server import HOST_NAME, REFUSED, SIZE_LIMIT, UNPACKED, PrivateWorld, SubmissionServer, unpacked

CONFIGURATION = """
table refused {{ "{refused}@one.test" }}
table all {{ "@" = "{keeper}" }}
smtp max-message-size {size_limit}
listen on 127.0.0.1 port {port} hostname {host_name}
action "keep" maildir "{directory}/mail/box" virtual <all>
match from any for rcpt-to <refused> reject
match from any for any action "keep"
"""


class PrivateOpenSmtpd(SubmissionServer):
    """`with PrivateOpenSmtpd(certificates.server()) as server: server.port`."""

    name = "OpenSMTPD"
    logins = False

    def configure(self):
        self._program = unpacked("opensmtpd", "usr/sbin/smtpd")
        self._world = PrivateWorld(self.directory, ["opensmtpd", "opensmtpq"], [(UNPACKED / "opensmtpd/usr/libexec", "/usr/libexec")])
        (self._world.var / "lib/opensmtpd/empty").mkdir(parents=True)
        self.write("smtpd.conf", CONFIGURATION.format(directory=self.directory, refused=REFUSED, keeper=self.keeper, size_limit=SIZE_LIMIT,
                                                      port=self.port, host_name=HOST_NAME))

    def command(self):
        return self._world.command(self._program, "-d", "-f", self.directory / "smtpd.conf")

    def write_users(self):
        pass

    def connections(self):
        return sum(" smtp connected " in line for line in self.log().splitlines())

