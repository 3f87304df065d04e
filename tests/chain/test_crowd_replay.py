"""A block whose accounts left in portions: its decisions are made again from the record alone."""

import asyncio
import subprocess
import sys

from keeper.devnet import bench_crowd
from keeper.devnet.bench_crowd import CrowdWanted, crowded

COUNT = 30


def test_decisions_of_a_block_in_portions_are_the_same_again(monkeypatch):
    """Several portions, each on what the one before left: every figure comes out the same."""
    answers = []

    async def replayed(measured, _most):
        config = str(measured.place.folder / "keeper.toml")
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "keeper", "replay", "--all", "--config", config),
            stdout=subprocess.PIPE,
        )
        answer, _ = await process.communicate()
        answers.append((process.returncode, answer.decode()))
        return (), ()

    monkeypatch.setattr(bench_crowd, "_mine_liquidations", replayed)

    told = asyncio.run(crowded(COUNT, CrowdWanted(shape="spread")))

    (code, said) = answers[0]
    assert (told.planned, code) == (COUNT, 0)
    assert told.transactions > 1
    assert "0 otherwise, 0 without" in said
