"""Comparison with an earlier revision, both benchmarks in turn in one run on one machine."""

import json
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any, Final

from keeper.devnet.toolchain import ROOT
from keeper.domain.errors import ConfigError, EnvironmentFault

ROUNDS: Final = 3
"""So often both are run, one after the other: a machine's pace changes within minutes."""
FOLDER: Final = ROOT / ".cache" / "against"
_SETUP_SECONDS: Final = 900
_RUN_SECONDS: Final = 600


def compare(revision: str, arguments: Sequence[str]) -> list[dict[str, Any]]:
    """
    Return for each size of market the medians of this revision and of the other, and their ratio.

    Raises:
        ConfigError: there is no such revision, or its benchmark does not take the arguments.
        EnvironmentFault: the other revision could not be set up, or a run failed.
    """
    other = _check_out(revision)
    runs = [(_run(ROOT, arguments), _run(other, arguments)) for _ in range(ROUNDS)]
    sizes = [market["borrowers"] for market in runs[0][0]]
    return [
        _compare_pairs(
            size, [(_select_size(own, size), _select_size(its, size)) for own, its in runs]
        )
        for size in sizes
    ]


def _compare_pairs(
    size: int, pairs: Sequence[tuple[dict[str, Any], dict[str, Any]]]
) -> dict[str, Any]:
    own, its = ([pair[at]["total_us"]["median"] for pair in pairs] for at in (0, 1))
    floors = [[pair[at]["floor_us"]["sum"] for pair in pairs] for at in (0, 1)]
    return {
        "borrowers": size,
        "total_us": median(own),
        "against_us": median(its),
        "ratio": round(median(mine / other for mine, other in zip(own, its, strict=True)), 3),
        "floor_us": median(floors[0]),
        "against_floor_us": median(floors[1]),
    }


def _select_size(markets: Sequence[dict[str, Any]], size: int) -> dict[str, Any]:
    return next(market for market in markets if market["borrowers"] == size)


def _check_out(revision: str) -> Path:
    """Check out the revision and set it up. The folder is reused the next time."""
    found = _run_git("rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}")
    if found is None:
        raise ConfigError(f"there is no revision {revision}", hint="a commit, a branch or a tag")
    folder = FOLDER / found.strip()
    if not (folder / "pyproject.toml").exists():
        folder.mkdir(parents=True, exist_ok=True)
        archive = folder.with_suffix(".tar")
        if _run_git("archive", "--output", str(archive), found.strip()) is None:
            raise EnvironmentFault(f"revision {revision} cannot be read from the repository")
        shutil.unpack_archive(archive, folder, filter="data")
        archive.unlink()
        _copy_cache(folder / ".cache")
    _run_command(["scripts/setup"], folder, _SETUP_SECONDS)
    return folder


def _copy_cache(target: Path) -> None:
    """Copy this revision's cache. The other one fetches its additional needs."""
    ignored = shutil.ignore_patterns(FOLDER.name)
    shutil.copytree(FOLDER.parent, target, ignore=ignored, symlinks=True)


def _run(folder: Path, arguments: Sequence[str]) -> list[dict[str, Any]]:
    command = [".venv/bin/python", "-m", "keeper.devnet.bench", "latency", "--json", *arguments]
    markets: list[dict[str, Any]] = json.loads(_run_command(command, folder, _RUN_SECONDS))[
        "markets"
    ]
    return markets


def _run_command(command: Sequence[str], folder: Path, seconds: int) -> str:
    done = subprocess.run(  # noqa: S603 - our own scripts, of a revision of our own
        [str(folder / command[0]), *command[1:]],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise EnvironmentFault(f"{command[0]} failed in {folder}: {last}")
    return done.stdout


def _run_git(*arguments: str) -> str | None:
    """Run git and return its output. None if it fails."""
    done = subprocess.run(  # noqa: S603
        ["git", *arguments],  # noqa: S607
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return None if done.returncode else done.stdout
