"""Runs many short commands, as many at a time as this process may use processors, and shows the output of those that fail."""

import os
import subprocess
from concurrent.futures import ThreadPoolExecutor


def run_all(commands, passed=lambda name: None):
    """commands: {name: command line}. The names that failed, after their output was printed; `passed` is told the others, each as it ends."""
    def run(item):
        name, command = item
        done = subprocess.run([*map(str, command)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if done.returncode == 0:
            passed(name)
        return name, done.returncode, done.stdout

    failed = []
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        for name, code, output in pool.map(run, commands.items()):
            if code != 0:
                failed.append(name)
                # Without clang's count of the warnings in headers of others.
                kept = [line for line in output.splitlines() if not line.endswith(" generated.")]
                print(f"--- {name}", *kept, sep="\n", flush=True)
    return failed
