"""Advice applied on the real contracts at its time: enough, and one unit less is not."""

from collections import Counter

import pytest

from keeper.chain.reader import connect
from keeper.devnet.morpho_markets import HOSTILE
from keeper.devnet.node import Transaction
from keeper.domain.advice import CureKind
from keeper.domain.units import WAD
from tests.chain.advice_world import DAY, aave_snapshot, health_after
from tests.chain.conftest import undone
from tests.chain.morpho_world import loaded, running_world, snapshots
from tests.chain.worlds_unseen import unseen_market
from tests.support.undoing import undo


@pytest.fixture(params=["3.0", "3.6"])
def unseen(request):
    devnet = request.getfixturevalue(f"market{request.param.replace('.', '')}")
    for each in undone(devnet):
        yield unseen_market(each, seed=11, borrowers=40)


async def test_advice_is_exact_on_a_market_nobody_has_seen(unseen):
    """Several collaterals and debts, 6 to 18 decimals, in and out of eModes, on 3.0 and 3.6."""
    devnet = unseen.devnet
    async with connect([f"http://127.0.0.1:{devnet.node.port}"]) as reader:
        taken = await aave_snapshot(devnet, reader)
    moment = taken.head.timestamp + DAY
    seen = Counter()
    for account in chosen(taken):
        health = taken.account(account).health_factor
        target = max(health * 107 // 100, 105 * WAD // 100)
        found = taken.advice(account, target, moment)
        kept = taken.borrowers[account]
        assert found.cures or found.impossible
        for cure in found.cures:
            reached = health_after(devnet, account, cure, cure.amount, moment)
            missed = health_after(devnet, account, cure, cure.amount - 1, moment)
            assert missed < target <= reached, (account, cure)
            seen.update((cure.kind, "stable" if cure.stable_rate else "variable"))
            seen[cure.decimals] += 1
            seen["emode" if kept.category else "no emode"] += 1
            seen["several"] += len(kept.flagged()) > 2
    assert min(seen[one] for one in ("emode", "no emode", "several", *CureKind)) > 0, seen
    assert len([one for one in seen if isinstance(one, int)]) >= 4, seen


def chosen(taken):
    """Return accounts that together use every reserve both ways, in and out of eModes."""
    covered = set()
    for health in taken.accounts():
        kept = taken.borrowers[health.account]
        uses = {(at, kept.is_borrowing(at), kept.category) for at in kept.flagged()}
        if not uses <= covered and health.health_factor < 2 * WAD and not health.unpriced:
            covered |= uses
            yield health.account


@pytest.fixture(scope="module")
def chain():
    yield from running_world()


@pytest.fixture
def world(chain):
    kept = chain.node.rpc("evm_snapshot")
    yield chain
    undo(chain.node, kept)


def morpho_factor(world, one, account, moment, act=None):
    """Return what the contract's figures give after an act in a block of that time."""
    node, morpho = world.node, world.morpho.contract
    kept = node.rpc("evm_snapshot")
    node.rpc("evm_setNextBlockTimestamp", [moment])
    accrue = morpho.transaction("accrueInterest", one.terms)
    try:
        node.send_all([accrue] if act is None else [act, accrue])
        identity = bytes.fromhex(one.id[2:])
        _, shares, collateral = morpho.call("position", identity, account)
        _, _, assets, all_shares, *_ = morpho.call("market", identity)
        price = int.from_bytes(node.call(oracle_price(one)))
        borrowed = -(-shares * (assets + 1) // (all_shares + 10**6))
        most = collateral * price // 10**36 * one.terms[4] // WAD
        return 2**256 - 1 if borrowed == 0 else most * WAD // borrowed
    finally:
        undo(node, kept)


def oracle_price(one):
    return Transaction(sender="0x" + "0" * 40, to=one.terms[2], data=bytes.fromhex("a035b1fe"))


async def test_advice_is_exact_on_morpho(world):
    """Every kind of market with interest, fee or none; both ways, and a debt wholly repaid."""
    async with connect([world.url]) as reader:
        taken = await snapshots(await loaded(world, reader), reader)
    morpho, cleared = world.morpho.contract, 0
    for each, snapshot in taken.items():
        one = world.market(each)
        account = next((a.account for a in snapshot.accounts() if not a.unpriced), None)
        if account is None or one.spec.name == HOSTILE:  # its token moves for nobody
            continue
        moment = snapshot.head.timestamp + DAY
        for target in (12 * WAD // 10, 10**60):
            found = snapshot.advice(account, target, moment)
            assert morpho_factor(world, one, account, moment) == found.untreated
            for cure in found.cures:
                if target > 10**30 and not cure.clears:
                    continue  # nobody has so much collateral
                position = snapshot.positions[account]
                terms = (one.terms, cure.amount)
                if cure.kind is CureKind.ADD_COLLATERAL:
                    full = morpho.transaction("supplyCollateral", *terms, account, b"")
                    less = morpho.transaction(
                        "supplyCollateral", one.terms, cure.amount - 1, account, b""
                    )
                else:
                    shares = position.borrow_shares if cure.clears else 0
                    cleared += cure.clears
                    units = 0 if shares else cure.amount
                    full = morpho.transaction("repay", one.terms, units, shares, account, b"")
                    less = morpho.transaction("repay", one.terms, cure.amount - 1, 0, account, b"")
                reached = morpho_factor(world, one, account, moment, full)
                missed = morpho_factor(world, one, account, moment, less)
                assert missed < target <= reached, (one.spec.name, cure)
    assert cleared
