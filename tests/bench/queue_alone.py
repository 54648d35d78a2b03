"""The queue alone (claim, content, compose, complete, log; nothing sent), 4 KB, against graphile-worker batched with nothing sent."""

import json
import os
import shutil
import subprocess
from pathlib import Path

from installation import drain, fill, installation
from machine import Unavailable, free_port, program
from postgres import PrivatePostgres

BAR = 1.0
PEERS = Path(__file__).parent / "peers"


def node():
    """Node 20 or later and the peers' packages, installed once into build/peers."""
    found = shutil.which("node")
    if not found or int(subprocess.run([found, "--version"], capture_output=True, text=True).stdout.lstrip("v").split(".")[0]) < 20:
        raise Unavailable("Node.js 20 or later is not installed")
    return found


def peers(build):
    folder = Path(build).resolve().parent / "peers"
    folder.mkdir(parents=True, exist_ok=True)
    for file in PEERS.iterdir():
        shutil.copy(file, folder)
    if not (folder / "node_modules").exists():
        done = subprocess.run([program("npm", "npm"), "install", "--no-audit", "--no-fund", "--silent"], cwd=folder, capture_output=True, text=True)
        if done.returncode != 0:
            raise Unavailable(f"npm cannot install graphile-worker: {done.stderr.strip().splitlines()[-1:]}")
    return folder


def run(options):
    node_program, folder = node(), peers(options.build)
    pairs = []
    with installation(options.build, free_port()) as (mailroom, execute), PrivatePostgres() as other:
        mailroom.configure("dispatcher", connections=32)
        other.create_database("graphile")
        environment = {**os.environ, "DSN": f"postgres://{other.superuser}:{other.password}@127.0.0.1:{other.port}/graphile", "N": str(options.messages)}
        nothing_sent = [Path(options.build).resolve() / "tests" / "nothing_sent", mailroom.write_settings()]
        for _ in range(options.rounds):
            fill(execute, options.messages)
            ours = drain(execute, nothing_sent, mailroom.directory / "nothing_sent.log", options.messages)
            theirs = json.loads(subprocess.run([node_program, "graphile.mjs"], cwd=folder, env=environment, check=True, capture_output=True, text=True).stdout)
            pairs.append((ours, theirs["per_second"]))
            if os.environ.get("BENCH_VERBOSE"):
                print(f"  queue {ours:.0f}, graphile-worker {theirs['per_second']}", flush=True)
    return BAR, "graphile-worker 0.17 batched, nothing sent", pairs
