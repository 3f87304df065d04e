"""An adapter's figures are the contracts' own, to the wei."""

from tests.chain.conformance.books import advanced, fall, followed

MONTH = 30 * 24 * 3_600


def balances(taken, account):
    """Return what the adapter says, by token."""
    return tuple({each.token: each.amount for each in legs} for legs in taken.balances(account))


def differing(world, snapshots):
    """Return whose health, verdict or amounts are not what the contracts say."""
    found = []
    for taken in snapshots:
        for health in taken.accounts():
            said = world.said(taken, health.account)
            ours = (health.liquidatable, health.health_factor, *balances(taken, health.account))
            theirs = (said.liquidatable, said.health_factor, said.collateral, said.debt)
            if ours != theirs:
                found.append((taken.market, health.account, ours, theirs))
    return found


async def test_everybody_who_borrows_is_known(world, reader):
    """From nothing but the settings; and nobody is there who does not."""
    _, snapshots = await followed(reader, world)
    found = {(one.market, each.account) for one in snapshots for each in one.accounts()}

    people = world.people()
    assert len(found) == len(people)
    assert all(
        any(key.endswith(end) and who == account for key, who in found) for end, account in people
    )


async def test_figures_equal_the_contracts_at_any_age(world, reader):
    """Seconds, minutes and months after the positions were read, none of them read again."""
    book, _ = await followed(reader, world)
    for seconds in (1, 60, 7 * 24 * 3_600, 5 * MONTH):
        world.devnet.pass_time(seconds)
        assert differing(world, await advanced(book, reader)) == []


async def test_verdicts_equal_the_contracts_at_any_price(world, reader):
    """Both verdicts are seen; under water too."""
    book, _ = await followed(reader, world)
    verdicts = set()
    for step in range(len(world.falls)):
        fall(world, step)
        snapshots = await advanced(book, reader)
        assert differing(world, snapshots) == []
        verdicts |= {each.liquidatable for one in snapshots for each in one.accounts()}
    assert verdicts == {True, False}


async def test_accounts_are_in_order_and_consistent(world, reader):
    """Worst first, ties by address; asked for alone an account is the same."""
    book, _ = await followed(reader, world)
    fall(world, 1)
    for taken in await advanced(book, reader):
        healths = list(taken.accounts())
        assert healths == sorted(healths, key=lambda one: (one.health_factor, one.account))
        assert all(taken.account(one.account) == one for one in healths)
        assert taken.account("0x" + "9" * 40) is None
        screened = taken.liquidatable() if hasattr(taken, "liquidatable") else None
        if screened is not None:
            assert list(screened) == [one for one in healths if one.liquidatable]
