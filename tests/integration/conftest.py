"""What the integration tests stand on: a private PostgreSQL and Postfix for the session, a fresh database for each test,
and the program under test from $MAILROOM_BUILD. What the machine lacks skips the tests that need it, with the reason.
"""

import contextlib
import functools
import os
import secrets
import sys
from pathlib import Path

import pytest

SUPPORT = Path(__file__).resolve().parent.parent / "support"
sys.path.insert(0, str(SUPPORT))

from certificates import Certificates  # noqa: E402
from crash_points import CrashPoints  # noqa: E402
from database import Database  # noqa: E402
from erp import migrated_once  # noqa: E402
from machine import Unavailable, private_directory  # noqa: E402
from mailroom_program import Mailroom  # noqa: E402
from postfix import PrivatePostfix  # noqa: E402
from postgres import PrivatePostgres  # noqa: E402
from store import Store, logins  # noqa: E402


def pytest_configure(config):
    os.environ["STATE_DIRECTORY"] = str(private_directory("state"))  # where daemons keep journals, unless a test says where
    config.addinivalue_line("markers", "smoke: the few that are also run under the thread sanitizer")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_makereport(call):
    """What this machine cannot run is a reason to skip, not a failure."""
    if call.excinfo and isinstance(call.excinfo.value, Unavailable):
        reason = str(call.excinfo.value)
        call.excinfo = pytest.CallInfo.from_call(lambda: pytest.skip(reason), call.when).excinfo


@pytest.fixture(scope="session")
def certificates():
    return Certificates()


@pytest.fixture(scope="session")
def postgres(certificates):
    with PrivatePostgres(fsync=False) as cluster:  # no machine loses its power here
        cluster.migrated = migrated_once(cluster, certificates.ca_file)
        yield cluster


@pytest.fixture(scope="session")
def postfix(certificates):
    """Takes mail from any user of it, as any sender; refuses nobody@ for good and later@ for now."""
    refused = {"nobody@": "550 5.1.1 User unknown", "later@": "450 4.2.1 Mailbox busy"}
    with PrivatePostfix(certificates.server(), refused=refused) as server:
        yield server


@pytest.fixture(scope="session")
def strict_postfix(certificates):
    """Lets anna@example.test and ben@example.test send as themselves only."""
    own = {address: address for address in ("anna@example.test", "ben@example.test")}
    with PrivatePostfix(certificates.server(), senders=own) as server:
        yield server


@pytest.fixture(scope="session")
def build_directory():
    """The build under test, absolute."""
    folder = os.environ.get("MAILROOM_BUILD")
    if not folder:
        pytest.skip("MAILROOM_BUILD does not say which build to test (./dev test sets it)")
    return Path(folder).resolve()


@pytest.fixture
def database(postgres):
    """A fresh, empty database with an owner of its own."""
    fresh = Database(postgres, "t_" + secrets.token_hex(6))
    yield fresh
    fresh.drop()


@pytest.fixture
def mailroom(build_directory, database, certificates):
    """The program, with a settings file for the fresh database; what it started is ended with the test."""
    executable = build_directory / "service" / "mailroom"
    with Mailroom(executable, database.dsn, certificates.ca_file, private_directory("program")) as program:
        yield program


@pytest.fixture
def crash_points(mailroom):
    return CrashPoints(mailroom)


@pytest.fixture(scope="session")
def new_store(postgres, build_directory):
    """A function that gives the queue without a daemon: a Store, to be closed."""
    template = postgres.migrated(build_directory / "service" / "mailroom")
    return functools.partial(Store, postgres, template.name, logins(postgres))


@pytest.fixture
def store(new_store):
    with contextlib.closing(new_store()) as fresh:
        yield fresh


@pytest.fixture(scope="module")
def shared_store(new_store):
    """For tests that leave nothing behind which another would mind."""
    with contextlib.closing(new_store()) as fresh:
        yield fresh
