"""The program from its wheel alone, outside the checkout: from `init` to a liquidation."""

import json
import os
import shutil
import subprocess
import sys

import pytest

from keeper.chain.abi import checksum
from keeper.devnet.assets import PRICE_UNIT
from keeper.devnet.market import hot_key
from keeper.devnet.toolchain import ROOT

COLD = checksum("0x00000000000000000000000000000000000c01d0")
MINUTES = 60


def run(*arguments, cwd, env=None, minutes=3):
    done = subprocess.run(
        [str(part) for part in arguments],
        cwd=cwd,
        env=env,
        capture_output=True,
        text=True,
        timeout=minutes * MINUTES,
        check=False,
    )
    assert done.returncode == 0, f"{arguments}\n{done.stdout}\n{done.stderr}"
    return done


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """Build the wheel from what git tracks and install it, by the run lock, where nothing is."""
    folder = tmp_path_factory.mktemp("wheel")
    tracked = run("git", "ls-files", "-zco", "--exclude-standard", cwd=ROOT).stdout.split("\0")
    for name in filter(None, tracked):
        if (ROOT / name).is_file():
            target = folder / "source" / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target)
    build = ("-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", folder)
    run(sys.executable, *build, folder / "source", cwd=folder)
    (wheel,) = folder.glob("*.whl")
    run(sys.executable, "-m", "venv", folder / "venv", cwd=folder)
    python, lock = folder / "venv/bin/python", ROOT / "requirements" / "run.txt"
    pip = (python, "-m", "pip", "install", "-q", "--disable-pip-version-check")
    run(*pip, "--require-hashes", "-r", lock, cwd=folder, minutes=5)
    run(*pip, "--no-deps", wheel, cwd=folder)
    yield folder / "venv/bin/keeper"
    # Other people's packages hold published keys, which the watch over secrets would report.
    shutil.rmtree(folder)


@pytest.mark.timeout(600)
def test_a_wheel_goes_live_outside_the_checkout(installed, aave36, tmp_path):
    """What is not packed is missed on the first production machine, and nowhere before."""
    devnet, venue = aave36, aave36.venue
    env = {name: value for name, value in os.environ.items() if not name.startswith("KEEPER_")}
    env.pop("PYTHONPATH", None)
    env |= {"KEEPER_WALLET__PRIVATE_KEY": hot_key(), "KEEPER_OBSERVE__LISTEN": ""}

    def keeper(*arguments):
        return run(installed, *arguments, cwd=tmp_path, env=env).stdout

    endpoint = f"ws://127.0.0.1:{devnet.node.port}"
    keeper("init", "--endpoint", endpoint, "--aave", devnet.aave.provider.address)
    settings = tmp_path / "keeper.toml"
    text = settings.read_text()
    for contract, address in (
        (venue.factory, "0x1F98431c8aD98523631AE4a59f267346ea31F984"),
        (venue.quoter, "0x61fFE014bA17989E743c5F6cB21bF9697530B21e"),
        (venue.router, "0xE592427A0AEce92De3Edee1F18E0157C05861564"),
    ):
        assert address in text
        text = text.replace(address, contract.address)
    assert 'via = ["0xC02aaA39b223FE8D0A0e5C4F27eAD9083C756Cc2"]' in text
    weth = devnet.tokens["WETH"].address
    settings.write_text(text.replace("0xC02aaA39b223FE8D0A0e5C4F27eAD9083C756Cc2", weth))
    deployed = json.loads(keeper("executor", "deploy", "--owner", COLD, "--write", "--json"))
    checks = json.loads(keeper("doctor", "--json"))["checks"]
    assert [check for check in checks if check["level"] == "fail"] == []

    devnet.set_prices({"WETH": 2_500 * PRICE_UNIT})
    told = keeper("run", "--json", "--blocks", "1").splitlines()
    events = [json.loads(line) for line in told]
    earned = json.loads(keeper("report", "profit", "--json"))
    accounts = json.loads(keeper("scan", "--json", "--all"))["accounts"]
    audit = keeper("audit", "verify")

    assert deployed["address"] in settings.read_text()
    assert sum(event["event"] == "attempt" for event in events) > 0
    assert earned["total"]["liquidations"] > 0
    assert int(earned["total"]["net_wei"]) > 0
    assert earned["chain"] | {"received": []} == {
        "asked": True,
        "transactions": sum(event["event"] == "included" for event in events),
        "received": [],
        "differences": [],
    }
    assert len(accounts) > len(devnet.borrowers) // 2
    assert audit
    assert not (tmp_path / "contracts").exists()
