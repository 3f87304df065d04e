"""A small set of books that adds up, of which each test spoils one entry."""

from dataclasses import replace

from keeper.devnet.demo.books import Facts, LeftAlone, Liquidation, Purse
from keeper.devnet.demo.places import Seizure

WHO = "0x00000000000000000000000000000000000000A1"
OTHER = "0x00000000000000000000000000000000000000A2"
POOR = "0x00000000000000000000000000000000000000A3"
ONE = 10**18


def liquidation(**changed):
    entry = Liquidation(
        account=WHO,
        kind="plain",
        transaction="0x01",
        block=11,
        planned_block=10,
        breach_block=10,
        health_before=99 * ONE // 100,
        health_after=11 * ONE // 10,
        spent_token="USDC",
        spent=1_000_000_000,
        received_token="WETH",
        received=ONE // 2,
        route="WETH -0.05%-> USDC",
        funding="flash swap",
        profit=50_000_000,
        gas=400_000,
        gas_cost=4 * 10**15,
        predicted_wei=21 * 10**15,
        realised_wei=21 * 10**15,
    )
    return replace(entry, **changed)


def seizure(entry):
    return Seizure(
        account=entry.account,
        transaction=entry.transaction,
        spent_token=entry.spent_token,
        spent=entry.spent,
        received_token=entry.received_token,
        received=entry.received,
    )


def books(*entries, **changed):
    """Two liquidations in one transaction that paid 90 USDC for 0.008 ETH of gas."""
    done = entries or (liquidation(), liquidation(account=OTHER, profit=40_000_000))
    paid = sum(each.profit for each in done)
    gas = sum(each.gas_cost for each in done)
    facts = Facts(
        liquidations=done,
        seizures=tuple(seizure(each) for each in done),
        left_alone=(
            LeftAlone(account=POOR, kind="dust", health=ONE // 2, reason="dust", detail="tiny"),
        ),
        failures=(),
        receiver=Purse(tokens={"USDC": paid, "WETH": 0}, wei=0),
        executor=Purse(tokens={"USDC": 0, "WETH": 0}, wei=0),
        hot=Purse(tokens={"USDC": 0, "WETH": 0}, wei=-gas),
        receipts={"0x01": gas},
        sent=1,
        prices={"USDC": 10**8, "WETH": 2_000 * 10**8},
        decimals={"USDC": 6, "WETH": 18},
    )
    return replace(facts, **changed)
