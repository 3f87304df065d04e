"""
A bad endpoint of two: what it sends instead of answers costs it its place, and the keeper nothing.

Its bombs are 65 KB of gzip, or 64 MiB on a websocket, of empty lists that would be three
gigabytes in memory.
"""

import re
from pathlib import Path

import pytest

from tests.chain.test_health import FALL, PATH, asked, configured, port_of, until_ready
from tests.chain.worlds import Keeper, liquidation_logs
from tests.support.faults import Faults, parsed
from tests.support.threaded import proxied

BLOCKS = 6
MOST_RESIDENT_KIB = 300 * 1024


def peak_resident(process):
    """Return the most memory that a process ever had, in KiB."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1])


def over_two(tmp_path, devnet, addresses):
    """Return a keeper over two endpoints, in this order."""
    keeper = Keeper(tmp_path, devnet, endpoint=addresses[0])
    configured(keeper)
    file = keeper.folder / "keeper.toml"
    lines = [
        f'{line[:-1]}, "{addresses[1]}"]\npoll_interval_ms = 50'
        if "endpoints = [" in line
        else line
        for line in file.read_text().splitlines()
    ]
    file.write_text("\n".join(lines))
    return keeper


def driven_through_a_fall(keeper, devnet, bad, script, *, at_start=False):
    """Run through a fall of prices and some blocks; return what was seen."""
    if at_start:
        bad.faults = Faults(parsed(script))
    with keeper.running() as running:
        port = port_of(running)
        running.until("block")
        if not at_start:
            bad.faults = Faults(parsed(script))
        devnet.set_prices(FALL)
        included = running.until("included")
        for _ in range(BLOCKS):
            devnet.node.rpc("evm_mine")
            running.until("block", block=devnet.node.block_number())
        until_ready(port)
        _, metrics = asked(port, "/metrics")
        resident = peak_resident(running.process)
    assert "block_skipped" not in running.log.read_text()
    return included, metrics, resident, running.events


@pytest.mark.parametrize("scheme", ["http", "ws"])
@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize("script", ["bomb", "bomb:chance=0.05", "bomb:methods=eth_call"])
def test_f12_a_bad_endpoint_of_two_costs_neither_blocks_nor_sends_nor_memory(
    aave36, tmp_path, scheme, place, script
):
    """Whatever its place in the settings, for every answer, one in twenty, or one method."""
    with proxied(aave36.node.port) as bad, proxied(aave36.node.port) as good:
        proxies = [bad, good] if place == 0 else [good, bad]
        addresses = [f"{one.ws_url if scheme == 'ws' else one.url}{PATH}" for one in proxies]
        keeper = over_two(tmp_path, aave36, addresses)
        first = aave36.node.block_number()
        included, metrics, resident, events = driven_through_a_fall(keeper, aave36, bad, script)
        sent = good.counts["eth_sendRawTransaction"]

    assert included["success"]
    assert liquidation_logs(aave36, first)
    assert sent
    assert resident < MOST_RESIDENT_KIB, f"{resident / 1024:.0f} MiB"
    states = [one["state"] for one in events if one["event"] == "endpoint"]
    alive = f'keeper_rpc_endpoint_state{{endpoint="{1 - place}",state="alive"}} 1.0'
    assert alive in metrics
    assert states in ([], ["quarantined"])
    assert states or script != "bomb"  # the others may not have met it


@pytest.mark.parametrize("scheme", ["http", "ws"])
@pytest.mark.parametrize("place", [0, 1])
def test_f12_a_keeper_starts_over_a_bad_endpoint_and_a_good_one(aave36, tmp_path, scheme, place):
    """The market's history, its accounts and what the key did are read from the good one."""
    with proxied(aave36.node.port) as bad, proxied(aave36.node.port) as good:
        proxies = [bad, good] if place == 0 else [good, bad]
        addresses = [f"{one.ws_url if scheme == 'ws' else one.url}{PATH}" for one in proxies]
        keeper = over_two(tmp_path, aave36, addresses)
        included, metrics, resident, _ = driven_through_a_fall(
            keeper, aave36, bad, "bomb", at_start=True
        )

    assert included["success"]
    assert f'keeper_rpc_endpoint_state{{endpoint="{place}",state="quarantined"}} 1.0' in metrics
    assert resident < MOST_RESIDENT_KIB, f"{resident / 1024:.0f} MiB"
