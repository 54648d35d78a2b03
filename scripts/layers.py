"""The order of the house, for the scripts that hold the sources to it: who may include whom, and what is pure.

A change here is a change of the architecture.
"""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCE_FOLDERS = ("config", "queue", "transport", "service", "tests")

# What rules and composer may see of transport: values, no behaviour.
TRANSPORT_VALUES = ("transport/outcome.hpp",)

# Layer -> the folders and files that it may include besides its own. The longest layer that leads a path is the path's layer.
MAY_INCLUDE = {
    "config": (),
    "queue": ("config",),
    "transport": ("config", "transport/mime"),
    "transport/mime": ("config", *TRANSPORT_VALUES),
    "service/rules": ("config", *TRANSPORT_VALUES),
    "service": ("config", "queue", "transport", "service/rules"),
    "tests": ("config", "queue", "transport", "service"),
}

# Compile anywhere, Windows too, and know nothing of sockets.
PURE_LAYERS = ("config", "transport/mime", "service/rules")
PURE_SMTP = ("reply", "capabilities", "command", "opening", "transaction", "trouble")  # the dialogues of transport/smtp

IMPURE_HEADERS = (
    "boost/asio", "boost/beast", "openssl/", "sys/socket.h", "sys/epoll.h", "netdb.h", "netinet/", "arpa/", "unistd.h", "poll.h",
    "winsock2.h", "ws2tcpip.h",
)
ADDRESS_VALUES = ("boost/asio/ip/address.hpp",)  # a value: the dialogues of SMTP may write one behind EHLO

# Header -> how many files may include it, and where.
ONE_PLACE = {
    "libpq-fe.h": (1, "queue/pg/connection."),
    "windows.h": (1, "service/host/"),
    "idn2.h": (1, "config/idn."),
    "systemd/sd-daemon.h": (1, "service/host/notifier_systemd."),
    "systemd/sd-journal.h": (1, "service/host/"),
}
SPDLOG_ONLY_IN = ("service",)  # not in service/rules: lower layers return facts, service logs them


def sources(*suffixes):
    """All C++ files of the project with one of these suffixes, as paths relative to its root."""
    found = (path for folder in SOURCE_FOLDERS for path in (ROOT / folder).rglob("*"))
    return sorted(path.relative_to(ROOT) for path in found if path.suffix in suffixes)


def layer_of(path):
    """The layer that a path relative to the root belongs to; None outside the house."""
    text = str(path)
    return max((layer for layer in MAY_INCLUDE if text.startswith(layer + "/")), key=len, default=None)


def is_pure(path):
    if layer_of(path) in PURE_LAYERS or str(path.with_suffix(".hpp")) in TRANSPORT_VALUES:
        return True
    return path.parent == Path("transport/smtp") and path.stem in PURE_SMTP


def pure_sources():
    return [path for path in sources(".cpp") if is_pure(path)]
