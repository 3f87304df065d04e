"""What a keeper holds stays bounded while blocks go by."""

import json
import subprocess
import sys

BLOCKS = 60
MOST_AHEAD = 16 * 1024 * 1024
SLACK = 5
"""Descriptors, threads and tasks that work on a block may have more than the block before."""


def test_descriptors_threads_tasks_and_logs_do_not_grow():
    """`scripts/soak` measures thousands of blocks, and memory; here a leak per block would show."""
    options = ["--blocks", str(BLOCKS), "--seed", "5", "--borrowers", "12", "--every", "10"]
    done = subprocess.run(
        [sys.executable, "-m", "keeper.devnet.soak", *options, "--json"],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2_000:]
    found = json.loads(done.stdout)

    first, last = found["looks"][1], found["looks"][-1]
    assert last["block"] - first["block"] >= BLOCKS // 2
    assert found["actions"] > BLOCKS
    for name in ("descriptors", "threads", "tasks"):
        assert last[name] <= first[name] + SLACK
    assert 0 < last["ahead_log"] <= MOST_AHEAD
