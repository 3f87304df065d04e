"""README's path from nothing to a dry run and to a live run, typed as it is written."""

import os
import pty
import re
import shlex
import signal
import subprocess
import time
from pathlib import Path

import pytest

from keeper.devnet.toolchain import ROOT

COLD = "0x00000000000000000000000000000000000c01d0"
PASSWORD = "a long random text of mine"
FALL = {"WETH": 2_500 * 10**8, "WBTC": 50_000 * 10**8, "LINK": 7 * 10**8}
PATIENCE = 120
BLOCKS = 5


def blocks(heading):
    """The shell lines under a heading of README, without their comments, block by block."""
    text = (ROOT / "README.md").read_text()
    section = text.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    found = re.findall(r"```sh\n(.*?)```", section, flags=re.DOTALL)
    return [[line.split(" #")[0].strip() for line in each.splitlines()] for each in found]


class Terminal:
    """A person at a terminal in an empty folder; ``.venv`` is the checkout's."""

    def __init__(self, folder, devnet):
        self.folder, self.devnet = folder, devnet
        (folder / ".venv").symlink_to(ROOT / ".venv")
        kept = {name: one for name, one in os.environ.items() if not name.startswith("KEEPER_")}
        self.environment = kept | {"KEEPER_OBSERVE__LISTEN": "127.0.0.1:0"}
        self.edits = [self.name_the_exchange, self.name_the_keystore]
        self.said = {}

    def type(self, line, answers=()):
        """Type a line; a person answers what is asked. Returns what was printed."""
        if line.startswith("$EDITOR"):
            assert shlex.split(line)[1:] == ["keeper.toml"]
            self.edits.pop(0)()
            return ""
        line = line.replace("wss://...", f"ws://127.0.0.1:{self.devnet.node.port}")
        line = line.replace("--aave 0x...", f"--aave {self.devnet.aave.provider.address}")
        line = line.replace("--owner 0x...", f"--owner {COLD}")
        assert "..." not in line, "README has a placeholder that nobody can fill in"
        master, slave = pty.openpty()
        with (self.folder / "out.log").open("w") as out, (self.folder / "err.log").open("w") as err:
            process = subprocess.Popen(
                ["/bin/bash", "-c", f"exec {line}"],
                cwd=self.folder,
                env=self.environment,
                stdin=slave,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )
            os.close(slave)
            try:
                self._answer(process, master, answers)
                if line.endswith(("run", "--dry-run")):
                    self._watch(process, "included nonce" if line.endswith(" run") else "")
                code = process.wait(PATIENCE)
            finally:
                process.kill()
                process.wait()
                os.close(master)
        assert code == 0, f"{line}: {self.printed()}"
        self.said[line] = (self.folder / "out.log").read_text()
        return self.said[line]

    def _answer(self, process, master, answers):
        """Answer each question once it is asked: a prompt forgets what was typed before it."""
        deadline = time.monotonic() + PATIENCE
        for asked, answer in enumerate(answers, 1):
            while (
                len(re.findall("password: |again: ", self.printed())) < asked
                and process.poll() is None
            ):
                assert time.monotonic() < deadline, self.printed()
                time.sleep(0.1)
            time.sleep(0.2)
            os.write(master, answer.encode() + b"\n")

    def printed(self):
        return "".join((self.folder / name).read_text() for name in ("out.log", "err.log"))

    def _watch(self, process, until):
        """Let a node see some blocks and tell what is waited for, then stop it as a person does."""
        deadline = time.monotonic() + PATIENCE
        while self.printed().count(" liquidatable") < BLOCKS or until not in self.printed():
            assert process.poll() is None, self.printed()
            assert time.monotonic() < deadline, self.printed()
            time.sleep(0.5)
            self.devnet.node.rpc("evm_mine")
        process.send_signal(signal.SIGINT)

    def name_the_exchange(self):
        """The exchange's addresses; the market and its first block are there already."""
        devnet, file = self.devnet, self.folder / "keeper.toml"
        assert devnet.aave.provider.address in file.read_text()
        venue = devnet.venue
        values = {
            "factory": f'"{venue.factory.address}"',
            "quoter": f'"{venue.quoter.address}"',
            "router": f'"{venue.router.address}"',
            "via": f'["{devnet.tokens["WETH"].address}"]',
        }
        text = file.read_text()
        for name, value in values.items():
            text, count = re.subn(rf"^{name} = .*$", f"{name} = {value}", text, flags=re.MULTILINE)
            assert count == 1, name
        file.write_text(text)

    def name_the_keystore(self):
        """What the comment of README's line says."""
        file = self.folder / "keeper.toml"
        text = file.read_text()
        assert text.count("\n[wallet]\n") == 1
        file.write_text(text.replace("\n[wallet]\n", '\n[wallet]\nkeystore = "key.json"\n'))


@pytest.fixture
def terminal(aave36, tmp_path):
    return Terminal(tmp_path, aave36)


def test_readmes_path_to_a_dry_run_and_to_a_live_run_works_as_it_is_written(terminal):
    """Every line in its order, nothing between them but what their comments say."""
    devnet = terminal.devnet
    dry, live = blocks("Point it at a node")
    assert [line for line in dry if line.endswith("--dry-run")]
    assert live[-1].endswith("keeper run")
    devnet.set_prices(FALL)
    unhealthy = devnet.unhealthy()

    for line in dry:
        out = terminal.type(line)
        if line.endswith("--dry-run"):
            assert out.count("would have netted") >= 3, out

    assert devnet.unhealthy().keys() == unhealthy.keys()
    assert "a dry run: nothing was sent" in terminal.said[dry[-1]]
    for line in live:
        asked = "key new" in line or "key check" in line or "deploy" in line or "doctor" in line
        again = 2 if "key new" in line else 1
        out = terminal.type(line, [PASSWORD] * again if asked or line.endswith(" run") else [])
        if "key new" in line:
            (address,) = re.findall(r"0x[0-9a-fA-F]{40}", out)
            devnet.node.set_balance(address, 10**18)

    assert len(devnet.unhealthy()) < len(unhealthy)
    assert Path(terminal.folder / "keeper.sqlite").exists()
    profit = terminal.type(".venv/bin/keeper report profit")
    assert "held against the chain: no difference" in profit
