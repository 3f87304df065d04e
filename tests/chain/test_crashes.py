"""The worst hour of both recorded crashes on real contracts: what was predicted was earned."""

import json
import subprocess
import sys

import pytest

TWELVE = 12
HELD = {"nothing else moved", "waited for room"}


@pytest.mark.parametrize(("crash", "first_hour"), [("2021-05", "228"), ("2022-06", "171")])
def test_what_was_predicted_is_what_balances_and_receipts_say(crash, first_hour):
    """
    Plan by plan and in sum, within 1 %, with bids, several in a transaction.

    `scripts/crashes` plays the whole of both crashes; docs/performance.md has its table.
    """
    part = ["--crash", crash, "--first-hour", first_hour, "--hours", "1", "--borrowers", "34"]
    done = subprocess.run(
        [sys.executable, "-m", "keeper.devnet.crash", *part, "--json"],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2_000:] + done.stdout[-2_000:]
    (found,) = json.loads(done.stdout)

    held = [plan for plan in found["plans"] if plan["cause"] in HELD]
    exact = [plan for plan in held if plan["cause"] == "nothing else moved"]
    assert found["is_right"]
    assert found["balances"]["received"] == found["balances"]["booked"] != {}
    assert found["balances"]["paid_wei"] == found["balances"]["booked_wei"] > 0
    assert len(held) >= TWELVE
    assert max(plan["beside"] for plan in held) > 1
    assert all(not plan["failure"] for plan in held)
    assert all(abs(plan["deviation_bps"]) <= 100 for plan in exact)
