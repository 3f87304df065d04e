"""The Morpho Blue adapter against the deployed contracts."""

import pytest

from keeper.chain.abi import checksum
from keeper.chain.reader import connect
from keeper.devnet.morpho import morpho_artifact, published_code
from keeper.devnet.morpho_markets import BROKEN, HOSTILE, MARKETS
from keeper.domain.decision import SkipReason
from keeper.domain.errors import ConfigError, RpcRefused
from keeper.domain.opportunity import Outcome, Window
from keeper.domain.units import UINT256_MAX
from keeper.protocols.morpho_blue import rules
from keeper.protocols.morpho_blue.adapter import build
from tests.chain.morpho_world import ADMIN, LIQUIDATE, loaded, running_world, snapshots
from tests.support.undoing import undo

RETURNS_NOTHING = "0x00"
MONTH = 30 * 24 * 3_600
ANSWERS, REVERTS, BURNS = 0, 1, 2


@pytest.fixture(scope="module")
def chain():
    yield from running_world()


@pytest.fixture
def world(chain):
    """The world as it was brought up; what a test does is undone."""
    snapshot = chain.node.rpc("evm_snapshot")
    yield chain
    undo(chain.node, snapshot)


@pytest.fixture
async def reader(world):
    async with connect([world.url]) as made:
        yield made


@pytest.fixture
async def market(world, reader):
    return await loaded(world, reader)


def fields(state):
    return (
        state.supply_assets,
        state.supply_shares,
        state.borrow_assets,
        state.borrow_shares,
        state.last_update,
        state.fee,
        state.rate_at_target,
    )


def test_the_compiled_contract_is_the_published_one():
    """Byte for byte, up to the metadata's hash."""
    ours, theirs = morpho_artifact().code, published_code()
    assert len(ours) == len(theirs)
    assert sum(a != b for a, b in zip(ours, theirs, strict=True)) <= 68


async def test_accrual_equals_the_contract_to_the_wei(world, market, reader):
    """With and without fee, with and without interest, after a second, minutes, months."""
    for seconds in (1, 60, 1_234, 7 * 24 * 3_600, 3 * MONTH, 13, 11 * MONTH):
        taken = await snapshots(market, reader)
        moment = world.timestamp() + seconds
        for each, one in taken.items():
            expected = fields(rules.accrued(one.state, one.read.irm, moment))
            kept = world.node.rpc("evm_snapshot")
            world.next_at(moment)
            world.mined("accrueInterest", world.market(each).terms)
            assert world.state(world.market(each)) == expected, world.market(each).spec.name
            undo(world.node, kept)
        world.next_at(moment)
        for one in world.morpho.markets.values():
            world.mined("accrueInterest", one.terms)
    assert len(taken) == len(MARKETS)
    assert any(one.state.fee for one in taken.values())
    assert len({one.state.rate_at_target for one in taken.values()}) > 5


def refuses(world, one, borrower):
    """Whether the contract refuses, since the borrower is healthy, to seize one unit."""
    try:
        world.node.call(
            world.morpho.contract.transaction("liquidate", one.terms, borrower, 1, 0, b"")
        )
    except RpcRefused as error:
        return "position is healthy" in error.text
    return False


async def test_every_verdict_equals_the_contracts(world, market, reader):
    """At several prices and ages; the call is asked at the snapshot's own block."""
    seen = set()
    for price, seconds in ((3_000, 1), (2_950, MONTH), (2_700, 13), (2_400, 60)):
        world.price(WETH=price, WBTC=price * 20, LINK=price // 215)
        world.node.pass_time(seconds)
        for each, one in (await snapshots(market, reader)).items():
            for health in one.accounts():
                assert health.liquidatable == (health.health_factor < 10**18)
                refused = refuses(world, world.market(each), health.account)
                assert refused != health.liquidatable
                seen.add(refused)
    assert seen == {True, False}


def window(taken):
    return Window(earliest=taken.head.timestamp + 12, deadline=taken.head.timestamp + 600)


def amounts(offer):
    low, high = offer.partial
    return [low, (low + high) // 3, high, UINT256_MAX]


async def test_plans_equal_the_events_at_any_time_of_the_window(world, market, reader):
    """Partial and full, by shares and by collateral, above water and under it."""
    kinds = set()
    for dollars in ({"WETH": 2_700, "LINK": 13}, {"WETH": 2_300, "WBTC": 49_000, "LINK": 8}):
        world.price(**dollars)
        taken = await snapshots(market, reader)
        for each, one in taken.items():
            for health in [h for h in one.accounts() if h.liquidatable][:2]:
                (offer,), _ = one.opportunities(health.account, window(one))
                for amount in amounts(offer):
                    kinds |= proven(world, world.market(each), one, offer, amount)
    assert kinds == {"shares", "collateral", "bad debt", "part", "all"}


def proven(world, one, taken, offer, amount):
    """Do it at the window's ends and in between, and compare with the event."""
    outcome = offer.outcome(amount)
    assert isinstance(outcome, Outcome)
    seized, shares = step_of(offer, amount)
    times = (offer.window.earliest, offer.window.earliest + 301, offer.window.deadline)
    for moment in times:
        kept = world.node.rpc("evm_snapshot")
        world.next_at(moment)
        receipt, event = world.liquidate(one, offer.account, seized=seized, shares=shares)
        undo(world.node, kept)
        repaid, _, received, lost, _ = event
        state = rules.accrued(taken.state, taken.read.irm, moment)
        expected = (
            rules.by_shares(shares, offer.position, state, taken.price, offer.factor)
            if shares
            else rules.by_collateral(seized, offer.position, state, taken.price, offer.factor)
        )
        assert event == (
            expected.repaid,
            expected.repaid_shares,
            expected.seized,
            expected.bad_debt,
            expected.bad_debt_shares,
        )
        assert repaid <= outcome.spend_at_most
        assert received >= outcome.receive_at_least
        assert int(receipt["gasUsed"], 16) <= offer.gas
        if moment == offer.window.earliest:
            assert (outcome.spend, outcome.receive, outcome.bad_debt) == (repaid, received, lost)
    if amount != UINT256_MAX:
        assert outcome.spend_at_most <= amount
    return {
        "shares" if shares else "collateral",
        "all" if amount == UINT256_MAX else "part",
        *(["bad debt"] if outcome.bad_debt else []),
    }


async def test_what_is_left_of_an_account_is_taken_in_the_same_block(world, market, reader):
    """The next round's figures hold at both ends of the window: totals, shares, collateral."""
    world.price(WETH=2_300, WBTC=49_000, LINK=8)
    rounds = 0
    for each, one in (await snapshots(market, reader)).items():
        for health in [h for h in one.accounts() if h.liquidatable][:2]:
            (offer,), _ = one.opportunities(health.account, window(one))
            low, high = offer.partial
            for amount in (low, (low + high) // 3, high):
                for rest in offer.after(amount).opportunities:
                    both_land(world, world.market(each), (offer, amount), rest)
                    rounds += 1
            assert not offer.after(UINT256_MAX).opportunities
    assert rounds > 6


def both_land(world, one, first, rest):
    """Do both in one block, at the window's ends, and compare the second with what was planned."""
    offer = first[0]
    for part in (*(rest.partial or ())[1:], UINT256_MAX):
        outcome = rest.outcome(part)
        assert isinstance(outcome, Outcome)
        for moment in (offer.window.earliest, offer.window.deadline):
            kept = world.node.rpc("evm_snapshot")
            world.next_at(moment)
            calls = [
                world.morpho.contract.transaction(
                    "liquidate", one.terms, offer.account, *step_of(*step), b""
                )
                for step in (first, (rest, part))
            ]
            _, receipt = world.node.send_all(calls)
            undo(world.node, kept)
            log = next(e for e in receipt["logs"] if e["topics"][0] == "0x" + LIQUIDATE.hex())
            repaid, _, seized, lost, _ = (
                int.from_bytes(bytes.fromhex(log["data"][2:])[32 * at : 32 * at + 32])
                for at in range(5)
            )
            assert repaid <= outcome.spend_at_most
            assert seized >= outcome.receive_at_least
            if moment == offer.window.earliest:
                planned = (outcome.spend, outcome.receive, outcome.bad_debt)
                assert planned == (repaid, seized, lost)


def step_of(offer, amount):
    data = offer.step(amount).data
    return int.from_bytes(data[7 * 32 : 8 * 32]), int.from_bytes(data[8 * 32 : 9 * 32])


async def test_a_part_by_shares_equals_the_event(world, market, reader):
    """Though the adapter takes parts by collateral, the rule holds for both."""
    world.price(WETH=2_700)
    proofs = 0
    for each, one in (await snapshots(market, reader)).items():
        for health in [h for h in one.accounts() if h.liquidatable][:1]:
            position = one.positions[health.account]
            moment = one.head.timestamp + 77
            state = rules.accrued(one.state, one.read.irm, moment)
            factor = rules.incentive(one.read.params.lltv)
            for shares in (position.borrow_shares // 3, position.borrow_shares // 7 + 1):
                expected = rules.by_shares(shares, position, state, one.price, factor)
                kept = world.node.rpc("evm_snapshot")
                world.next_at(moment)
                _, event = world.liquidate(world.market(each), health.account, shares=shares)
                undo(world.node, kept)
                assert event[:3] == (expected.repaid, shares, expected.seized)
                proofs += 1
    assert proofs > 4


async def test_a_failing_oracle_concerns_its_own_market_only(world, market, reader):
    """It reverts, burns all gas, or says zero: its accounts are unpriced, the others exact."""
    broken = world.morpho.markets[BROKEN]
    for price, mood, words in ((1, REVERTS, "fails"), (1, BURNS, "fails"), (0, ANSWERS, "zero")):
        broken.oracle.send("set", price, mood)
        taken = await snapshots(market, reader)
        bad = taken.pop(broken.id)
        assert all(h.unpriced and not h.liquidatable for h in bad.accounts())
        assert words in bad.warnings[0]
        account = bad.accounts()[0].account
        _, (refusal,) = bad.opportunities(account, window(bad))
        assert refusal.reason is SkipReason.PRICE_UNAVAILABLE
        assert len(taken) == len(MARKETS) - 1
        assert not any(h.unpriced for one in taken.values() for h in one.accounts())


async def test_a_price_beyond_counting_is_no_price(world, market, reader):
    """The contract itself overflows there; nobody is liquidatable and nothing crashes."""
    hostile = world.morpho.markets[HOSTILE]
    hostile.oracle.send("set", UINT256_MAX, ANSWERS)
    taken = (await snapshots(market, reader))[hostile.id]

    assert all("more than the contract can count" in h.unpriced for h in taken.accounts())
    assert taken.prices


async def test_logs_say_who_changed_and_the_contract_how_much(world, market, reader):
    """Repaying, pledging, new borrowers; a market created later is followed too."""
    await snapshots(market, reader)
    first = world.node.block_number() + 1
    morpho, spec = world.morpho.contract, next(iter(world.morpho.markets.values()))
    person = next(b for b in world.morpho.borrowers if b.market == spec.spec.name)
    world.node.pass_time(MONTH)
    morpho.send("repay", spec.terms, person.debt // 2, 0, person.address, b"")
    morpho.send("supplyCollateral", spec.terms, 10**17, person.address, b"")
    terms = (*spec.terms[:4], 945 * 10**15)
    morpho.send("createMarket", terms)
    morpho.send("supply", terms, 10**12, 0, ADMIN, b"")
    morpho.send("supplyCollateral", terms, 10**19, person.address, b"")
    morpho.send("borrow", terms, 10**9, 0, person.address, ADMIN, sender=person.address)
    logs = await reader.logs_between(market.log_filter, first, world.node.block_number())

    market.note(logs)
    taken = await snapshots(market, reader)

    assert len(taken) == len(MARKETS) + 1
    for each, one in taken.items():
        for account, position in one.positions.items():
            said = morpho.call("position", bytes.fromhex(each[2:]), account)
            assert said[1:] == (position.borrow_shares, position.collateral)
    assert sum(person.address in one.positions for one in taken.values()) >= 2


async def test_a_quiet_block_costs_the_same_however_many_owe(world, market, reader):
    """Three reads a market, one a feed, one a token; none for a position."""
    await snapshots(market, reader)
    calls = market.calls(await reader.head())
    interest = sum(spec.interest for spec in MARKETS)

    assert len(calls) == 2 * len(MARKETS) + interest + len(market.structure.feeds) + 8


async def test_only_wanted_markets_are_followed(world, reader):
    """By id, by token, by rate model, by the oracle's maker: a market must be in every list."""
    usdc, weth = world.tokens["USDC"].address, world.tokens["WETH"].address
    first = next(iter(world.morpho.markets.values()))
    factory = world.morpho.factory.address
    wanted = {
        "id": ({"markets": [first.id]}, {first.spec.name}),
        "loan": ({"loan_tokens": [weth]}, {s.name for s in MARKETS if s.loan == "WETH"}),
        "factory": ({"oracle_factories": [factory]}, {s.name for s in MARKETS if not s.moody}),
        "both": (
            {
                "collateral_tokens": [weth],
                "loan_tokens": [usdc],
                "irms": [world.morpho.irm.address],
            },
            {first.spec.name},
        ),
    }
    for changes, names in wanted.values():
        made = await loaded(world, reader, **changes)
        assert {world.market(one).spec.name for one in made.structure.markets} == names


async def test_no_deployment_where_there_is_none(world, reader):
    """A wrong address is a configuration error, not a crash."""
    for wrong in (ADMIN, world.tokens["WETH"].address):
        made = build(world.options(all=True, morpho=wrong), from_block=0, reader=reader)
        with pytest.raises(ConfigError):
            await made.discover(await reader.head())


async def test_a_flash_loan_costs_nothing_but_gas(world, market, reader):
    """All that Morpho holds of a token, for a fee of zero; the gas within the estimate."""
    world.price(WETH=2_990)
    taken = list((await snapshots(market, reader)).values())
    borrower = checksum("0x" + "f1" * 20)
    world.node.rpc("anvil_setCode", [borrower, RETURNS_NOTHING])
    world.node.set_balance(borrower, 10**18)
    for symbol in ("USDC", "WETH", "USDT", "WBTC"):
        token = world.tokens[symbol]
        (lender,) = {one for each in taken for one in each.flash_lenders(token.address)[0]}
        token.send("approve", lender.lender, UINT256_MAX, sender=borrower)
        for amount in (1, 1_001, lender.available):
            receipt = world.morpho.contract.send(
                "flashLoan", token.address, amount, b"", sender=borrower
            )
            assert lender.fee(amount) == 0
            assert int(receipt["gasUsed"], 16) <= lender.gas
        with pytest.raises(RpcRefused):
            world.morpho.contract.send(
                "flashLoan", token.address, lender.available + 1, b"", sender=borrower
            )


async def test_a_market_that_nobody_wants_leaves_nothing_behind(world, reader):
    """Its loans are not followed, and a new one that is wanted is, by the same logs."""
    first = next(iter(world.morpho.markets.values()))
    market = await loaded(world, reader, loan_tokens=[world.tokens["USDC"].address])
    before = await snapshots(market, reader)
    start = world.node.block_number() + 1
    morpho, weth = world.morpho.contract, world.tokens["WETH"].address
    person = world.morpho.borrowers[0].address
    unwanted = (weth, *first.terms[1:4], 770 * 10**15)
    wanted = (*first.terms[:4], 770 * 10**15)
    for terms, amount in ((unwanted, 10**6), (wanted, 10**9)):
        morpho.send("createMarket", terms)
        morpho.send("supply", terms, 2 * amount, 0, ADMIN, b"")
        morpho.send("supplyCollateral", terms, 10**19, person, b"")
        morpho.send("borrow", terms, amount, 0, person, ADMIN, sender=person)
    market.note(await reader.logs_between(market.log_filter, start, world.node.block_number()))
    quiet = len(market.calls(await reader.head()))
    after = await snapshots(market, reader)

    assert {one.read.params.values for one in after.values()} - {
        one.read.params.values for one in before.values()
    } == {wanted}
    assert len(market.calls(await reader.head())) == quiet + 3
    assert not market.noted
