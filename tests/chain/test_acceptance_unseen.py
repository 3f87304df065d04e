"""
A market that the keeper has never seen, on both versions: every figure, every position that pays.

Other reserves, decimals and terms, hundreds of borrowers, months of interest, a fall of prices;
the executor is deployed by the command, the settings are those of a new user.
"""

from dataclasses import dataclass

import pytest

from keeper.devnet.market import VERSIONS
from tests.chain.conftest import running_devnet
from tests.chain.worlds import (
    Event,
    Keeper,
    account_data,
    decisions,
    driven,
    last_decisions,
    planned_steps,
    plans_of,
)
from tests.chain.worlds_unseen import Unseen, unseen_market
from tests.chain.worlds_verdict import Judge

pytestmark = pytest.mark.early(9)

LINE = 10**18
BORROWERS = 240
SEEDS = {"3.6": 7, "3.0": 9}
MIN_PROFIT = 5 * 10**8
GAS_ERROR = 15 * 10**7
"""Dollars (8 decimals) by which the keeper's estimate of gas may exceed what the judge takes."""


@dataclass(frozen=True, slots=True)
class Played:
    """What the scan said before, what the run did, and what was left."""

    unseen: Unseen
    everyone: list[str]
    scan: Event
    said: dict[str, list[int]]
    events: list[Event]
    after: dict[str, list[int]]

    @property
    def still_unhealthy(self) -> set[str]:
        return {account for account, words in self.after.items() if words[5] < LINE}


@pytest.fixture(scope="module", params=VERSIONS)
def played(request, tmp_path_factory):
    """Scan the market, then let the keeper run for six blocks."""
    for devnet in running_devnet(request.param):
        unseen = unseen_market(devnet, seed=SEEDS[request.param], borrowers=BORROWERS)
        everyone = unseen.accounts + [one.address for one in devnet.borrowers]
        keeper = Keeper(tmp_path_factory.mktemp("keeper"), devnet)
        keeper.executor = None
        keeper.configure()
        deployed = keeper.command("executor", "deploy", "--json")
        assert deployed.code == 0, deployed.err
        keeper.executor = deployed.document["address"]
        keeper.configure()
        scan = keeper.command("scan", "--all", "--json")
        assert scan.code == 0, scan.err
        said = account_data(devnet, everyone, scan.document["block"]["number"])
        events = driven(keeper, 6)
        after = account_data(devnet, everyone, devnet.node.block_number())
        yield Played(unseen, everyone, scan.document, said, events, after)


def test_every_account_is_exact(played):
    """Collateral, debt and health factor are the pool's own, to the wei, and nobody is missing."""
    scanned = {one["account"]: one for one in played.scan["accounts"]}
    told = {
        account: (int(one["collateral_base"]), int(one["debt_base"]), int(one["health_factor"]))
        for account, one in scanned.items()
    }

    assert len(played.scan["accounts"]) == len(played.everyone) >= BORROWERS
    assert told == {
        account: (words[0], words[1], words[5]) for account, words in played.said.items()
    }


def test_every_unhealthy_account_is_decided(played):
    """Liquidated or skipped, each with a reason; nobody healthy is touched."""
    unhealthy = {account for account, words in played.said.items() if words[5] < LINE}

    assert len(unhealthy) >= 20
    assert last_decisions(played.events).keys() == unhealthy
    assert all(one["reason"] for one in decisions(played.events, "skip"))


def test_nothing_that_was_sent_failed(played):
    """Every transaction succeeded, every plan in it too, and each earned."""
    included = [one for one in played.events if one["event"] == "included"]
    planned = [step["account"] for step in planned_steps(played.events)]

    assert len(planned) >= 10
    assert all(one["success"] for one in included)
    assert sorted(one["account"] for one in plans_of(played.events)) == sorted(planned)
    assert all(not one["failure"] and int(one["profit"]) > 0 for one in plans_of(played.events))


def test_what_is_left_does_not_pay(played):
    """Market and QuoterV2 say so themselves, for every pair and several amounts."""
    judge, last = Judge(played.unseen), last_decisions(played.events)

    assert {last[account]["action"] for account in played.still_unhealthy} == {"skip"}
    verdicts = {account: judge.verdict(account) for account in played.still_unhealthy}
    assert {
        account: (one, last[account]["reason"])
        for account, one in verdicts.items()
        if one.profit >= MIN_PROFIT + GAS_ERROR
    } == {}
