"""A certificate authority of the tests' own, by the openssl program: good, expired and misnamed server certificates."""

import ipaddress
import subprocess
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path

from machine import private_directory, program

CA_CONFIG = """
[ca]
default_ca = test
[test]
database = {directory}/index.txt
serial = {directory}/serial
new_certs_dir = {directory}/issued
certificate = {directory}/ca.pem
private_key = {directory}/ca.key
default_md = sha256
policy = any
unique_subject = no
[any]
commonName = supplied
"""


@dataclass(frozen=True)
class Certificate:
    cert_file: Path
    key_file: Path


class Certificates:
    """`ca_file` is what a client trusts. Issued ones are kept by name, so that asking twice costs nothing."""

    def __init__(self, directory=None):
        self.directory = Path(directory) if directory else private_directory("certificates")
        self.ca_file = self.directory / "ca.pem"
        self._config = self.directory / "ca.cnf"
        self._issued = {}
        (self.directory / "issued").mkdir(parents=True)
        (self.directory / "index.txt").touch()
        (self.directory / "serial").write_text("1000\n")
        self._config.write_text(CA_CONFIG.format(directory=self.directory))
        self._openssl("req", "-x509", *self._new_key("ca"), "-out", self.ca_file, "-subj", "/CN=mailroom test CA", "-days", "30",
                      "-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign,cRLSign")

    def server(self, *hosts):
        """A valid certificate for host names and IP addresses; for localhost and 127.0.0.1 when none is named."""
        return self._issue(hosts or ("localhost", "127.0.0.1"), "20200101000000Z", "20991231235959Z")

    def expired(self, *hosts):
        return self._issue(hosts or ("localhost", "127.0.0.1"), "20200101000000Z", "20210101000000Z")

    def ending(self, days, *hosts):
        """In force for so many more days, and an hour."""
        end = datetime.now(timezone.utc) + timedelta(days=days, hours=1)
        return self._issue(hosts or ("localhost", "127.0.0.1"), "20200101000000Z", end.strftime("%Y%m%d%H%M%SZ"))

    def other_host(self):
        """Valid and trusted, but for a host that no test connects to."""
        return self.server("elsewhere.example.test")

    def untrusted(self, *hosts):
        """Signed by itself: no client that checks can accept it."""
        hosts = hosts or ("localhost", "127.0.0.1")
        name = "untrusted-" + hosts[0]
        if name not in self._issued:
            cert = self.directory / f"{name}.pem"
            self._openssl("req", "-x509", *self._new_key(name), "-out", cert, "-subj", f"/CN={hosts[0]}", "-days", "30",
                          "-addext", "subjectAltName=" + alternative_names(hosts))
            self._issued[name] = Certificate(cert, self.directory / f"{name}.key")
        return self._issued[name]

    def _issue(self, hosts, start, end):
        name = "-".join((*hosts, end[:8]))
        if name in self._issued:
            return self._issued[name]
        request, cert, extensions = (self.directory / f"{name}.{suffix}" for suffix in ("csr", "pem", "ext"))
        extensions.write_text(f"subjectAltName={alternative_names(hosts)}\nextendedKeyUsage=serverAuth\n")
        self._openssl("req", *self._new_key(name), "-out", request, "-subj", f"/CN={hosts[0]}")
        self._openssl("ca", "-batch", "-notext", "-config", self._config, "-in", request, "-out", cert, "-extfile", extensions,
                      "-startdate", start, "-enddate", end)
        self._issued[name] = Certificate(cert, self.directory / f"{name}.key")
        return self._issued[name]

    def _new_key(self, name):  # elliptic curves: a key takes milliseconds
        return ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc", "-keyout", self.directory / f"{name}.key"]

    def _openssl(self, *arguments):
        done = subprocess.run([program("openssl", "openssl"), *map(str, arguments)], capture_output=True, text=True)
        if done.returncode != 0:
            raise RuntimeError(f"openssl {arguments[0]} failed:\n{done.stderr}")


def alternative_names(hosts):
    def entry(host):
        try:
            return f"IP:{ipaddress.ip_address(host)}"
        except ValueError:
            return f"DNS:{host}"

    return ",".join(map(entry, hosts))
