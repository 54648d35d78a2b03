"""The units and what goes with them: systemd has nothing to say against them, and they are as closed as they promise."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from machine import private_directory, program

ROOT = Path(__file__).resolve().parents[2]
UNITS = ROOT / "systemd"
INSTANCES = {"mailroom.service": "mailroom.service", "mailroom@.service": "mailroom@company.service"}
EXPOSURE = 1.3  # of 10, as `systemd-analyze security` counts


def analyze(*arguments):
    return subprocess.run([program("systemd-analyze", "systemd"), *map(str, arguments)], capture_output=True, text=True, timeout=60)


@pytest.fixture
def installed(build_directory):
    """A folder with the units as they would run the program under test."""
    folder = private_directory("units")
    for name, instance in INSTANCES.items():
        text = (UNITS / name).read_text()
        assert text.count("/usr/bin/mailroom ") == 1
        (folder / instance).write_text(text.replace("/usr/bin/mailroom ", f"{build_directory}/service/mailroom "))
    yield folder
    shutil.rmtree(folder)


@pytest.mark.parametrize("name", INSTANCES)
def test_systemd_finds_nothing_wrong_with_a_unit(installed, name):
    verified = analyze("verify", "--man=no", installed / INSTANCES[name])
    assert (verified.returncode, verified.stdout + verified.stderr) == (0, "")


@pytest.mark.parametrize("name", INSTANCES)
def test_a_unit_is_closed_to_all_that_it_does_not_need(name):
    answer = analyze("security", "--offline=true", UNITS / name)
    found = re.search(r"Overall exposure level for \S+: ([\d.]+)", answer.stdout)
    assert found, answer.stdout + answer.stderr
    assert float(found[1]) <= EXPOSURE


def settings_of(name):
    lines = (UNITS / name).read_text().splitlines()
    return [line for line in lines if line and not line.startswith("# ")]


def test_the_two_units_differ_in_their_names_only():
    def of_a_company(line):
        line = line.replace("/etc/mailroom/mailroom.toml", "/etc/mailroom/%i.toml").replace("/etc/mailroom/key", "/etc/mailroom/%i.key")
        line = re.sub(r"^(Description=.*)", r"\1 (%i)", line)
        return re.sub(r"^((State|Logs)Directory=mailroom)$", r"\1/%i", line)

    assert [of_a_company(line) for line in settings_of("mailroom.service")] == settings_of("mailroom@.service")


def test_the_user_and_the_folders_are_those_of_the_units():
    unit = dict(line.split("=", 1) for line in settings_of("mailroom.service") if "=" in line)
    users = (UNITS / "sysusers.d" / "mailroom.conf").read_text()
    assert re.search(rf"^u {unit['User']} ", users, re.MULTILINE)
    folders = {line.split()[1]: line.split()[2:5] for line in (UNITS / "tmpfiles.d" / "mailroom.conf").read_text().splitlines()
               if line.startswith("d ")}
    assert folders == {"/etc/mailroom": ["0750", "root", unit["Group"]],
                       "/var/lib/" + unit["StateDirectory"]: [unit["StateDirectoryMode"], unit["User"], unit["Group"]],
                       "/var/log/" + unit["LogsDirectory"]: [unit["LogsDirectoryMode"], unit["User"], unit["Group"]]}
