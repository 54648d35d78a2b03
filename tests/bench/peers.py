"""The peers that run in Node: their packages, pinned in peers/package.json, installed once; a run of one of them."""

import json
import shutil
import subprocess
from pathlib import Path

from machine import Unavailable, program

SOURCES = Path(__file__).parent / "peers"


def node():
    """Node 20 or later, which the packages ask for."""
    found = shutil.which("node")
    if not found or int(subprocess.run([found, "--version"], capture_output=True, text=True).stdout.lstrip("v").split(".")[0]) < 20:
        raise Unavailable("Node.js 20 or later is not installed")
    return found


def folder(build):
    """Where they are installed, beside the build directory; anew when what is pinned changes."""
    place = Path(build).resolve().parent / "peers"
    place.mkdir(parents=True, exist_ok=True)
    installed, pinned = place / "node_modules" / "pinned.json", SOURCES / "package.json"
    for file in SOURCES.iterdir():
        shutil.copy(file, place)
    if not installed.exists() or installed.read_bytes() != pinned.read_bytes():
        done = subprocess.run([program("npm", "npm"), "install", "--no-audit", "--no-fund", "--silent"], cwd=place, capture_output=True, text=True)
        if done.returncode != 0:
            raise Unavailable(f"npm cannot install the peers: {(done.stderr.strip().splitlines() or ['it says nothing'])[-1]}")
        shutil.copy(pinned, installed)
    return place


def command(script, build, postgres, database, **numbers):
    """Runs a peer. It reads from its environment where the database is, and the numbers (in capitals)."""
    uri = f"postgres://{postgres.superuser}:{postgres.password}@127.0.0.1:{postgres.port}/{database}"
    variables = [f"{name}={value}" for name, value in numbers.items()]
    return ["env", f"DSN={uri}", *variables, node(), str(folder(build) / script)]


def answer(command):
    """What a peer prints as JSON at its end."""
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
