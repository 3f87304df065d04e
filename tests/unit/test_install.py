"""What is installed is what was looked at: locked by hashes, listed, and nothing beside it."""

import json
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LOCKS = ("run.txt", "dev.txt", "node.txt", "coverage.txt")
PACKAGE = re.compile(r"^[A-Za-z0-9].*$", re.MULTILINE)
INSTALLS = re.compile(r"-m pip install(?:[^\n]*\\\n)*[^\n]*")


def packages(lock):
    """Every package of a lock with the lines that belong to it."""
    text = (ROOT / "requirements" / lock).read_text()
    begins = [found.start() for found in PACKAGE.finditer(text)]
    return [text[at:end] for at, end in zip(begins, [*begins[1:], len(text)], strict=True)]


@pytest.mark.parametrize("lock", LOCKS)
def test_every_package_has_its_version_and_hashes(lock):
    """A name alone, or a range, installs what somebody uploads tomorrow."""
    found = packages(lock)

    assert found
    for package in found:
        assert re.match(r"[A-Za-z0-9._-]+==[^ *]+ ", package), package[:80]
        assert re.search(r"--hash=sha256:[0-9a-f]{64}\b", package), package[:80]


def test_every_package_is_installed_by_its_hash():
    """Each install of the set-up, of the program's and of the tools', asks for hashes."""
    installs = INSTALLS.findall((ROOT / "scripts" / "setup").read_text())

    assert installs
    assert [one for one in installs if "--require-hashes" not in one] == []


@pytest.mark.io
def test_pip_refuses_other_bytes_under_the_same_name(tmp_path):
    """The lock as it is, but for one hash: pip itself, over no network."""
    wheel = tmp_path / "changed-1.0-py3-none-any.whl"
    wheel.write_bytes(b"not what was locked")
    lock = tmp_path / "lock.txt"
    lock.write_text(f"changed==1.0 --hash=sha256:{'0' * 64}\n")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pip", "download", "-q", "--no-index", "--no-deps"),
            *("--find-links", str(tmp_path), "--dest", str(tmp_path / "to")),
            *("--require-hashes", "-r", str(lock)),
        ],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode != 0
    assert "DO NOT MATCH THE HASHES" in done.stderr


@pytest.mark.slow
def test_the_bill_of_materials_is_the_lock():
    """Whoever asks what runs beside a key reads one file, and it is not of last year."""
    sbom = runpy.run_path(str(ROOT / "requirements" / "sbom.py"))
    lock = (ROOT / "requirements" / "run.txt").read_text()
    text = (ROOT / "requirements" / "sbom.json").read_text()
    listed = {
        (one["name"], one["version"], len(one["externalReferences"][0]["hashes"]))
        for one in json.loads(text)["components"]
    }
    locked = {
        (*re.match(r"(\S+)==(\S+)", one).groups(), one.count("--hash=sha256:"))
        for one in packages("run.txt")
    }

    assert text == sbom["build_document"](lock)
    assert listed == locked
