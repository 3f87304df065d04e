"""A keeper as its operator has it, over the markets of one world or of several."""

import contextlib
import json

from tests.chain.conformance.world import sections
from tests.chain.worlds import Keeper

POLICY = '\n[policy]\nmin_profit_usd = "5"\n'


def configured(folder, devnet, *worlds, endpoint=""):
    """Return a keeper whose settings have every world's market and the devnet's exchange."""
    keeper = Keeper(folder, devnet, endpoint=endpoint)
    venue = devnet.venue
    via = [devnet.tokens[symbol].address for symbol in ("WETH", "USDC")]
    text = f"""\
[chain]
id = 31337
endpoints = ["{keeper.endpoint}"]
wrapped_native = "{devnet.tokens["WETH"].address}"
{sections(*worlds)}
[[venue]]
kind = "uniswap_v3"
factory = "{venue.factory.address}"
quoter = "{venue.quoter.address}"
router = "{venue.router.address}"
via = {json.dumps(via)}

[[executor]]
name = "main"
address = "{devnet.executor}"
"""
    (folder / "keeper.toml").write_text(text + POLICY)
    return keeper


def decided(keeper):
    """Return what a keeper would do now: its decisions by market and account."""
    with contextlib.suppress(FileNotFoundError):
        for journal in keeper.folder.glob("keeper*.sqlite*"):
            journal.unlink()
    done = keeper.command("run", "--dry-run", "--json", "--blocks", "1")
    assert done.code == 0, done.err
    told = [one for one in done.events if one["event"] == "decision"]
    return {(one["market"], one["account"]): one for one in told}


def taken(decisions):
    """Return whom it would liquidate."""
    return {who for who, one in decisions.items() if one["action"] == "liquidate"}


def protocol(market):
    """Return the protocol of a market's key."""
    return market.partition(":")[0]
