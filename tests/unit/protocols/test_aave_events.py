"""Which logs matter and whom they touch."""

from keeper.domain.reads import Log
from keeper.protocols.aave_v3 import events
from tests.unit.protocols import aave_builders as build


def word(address):
    return bytes.fromhex(address[2:]).rjust(32, b"\0")


def log(address, *topics):
    return Log(
        address=address,
        topics=topics,
        data=b"",
        block_number=1,
        block_hash="0x",
        index=0,
        transaction_hash="0x",
    )


def test_the_debtor_is_on_behalf_of_not_the_caller():
    """Credit delegation: one account takes the money, another owes it."""
    taken = log(build.address(2), events.BORROW, word(build.address(100)), word(build.BORROWER))

    assert events.borrowers([taken]) == {build.BORROWER}


def test_a_transfer_touches_both_sides_and_never_nobody():
    """Mints come from the zero address, which holds nothing."""
    moved = log(build.address(200), events.TRANSFER, word(build.address(0)), word(build.BORROWER))

    assert events.touched([moved]).accounts == {build.BORROWER: frozenset({build.address(200)})}


def test_an_upgrade_changes_the_structure():
    """A new implementation may follow other rules."""
    upgraded = log(build.address(2), events.topic("Upgraded(address)"), word(build.address(9)))

    assert events.touched([upgraded]).structure
    assert not events.touched(
        [log(build.address(2), events.EMODE_SET, word(build.BORROWER))]
    ).structure


def test_a_mint_or_a_burn_alone_touches_whose_balance_it_changes():
    """A node may leave the transfer out: the total is explained, and the account has changed."""
    token, caller = build.address(200), word(build.address(100))
    minted = log(token, events.MINT, caller, word(build.BORROWER))
    burned = log(token, events.BURN, word(build.BORROWER), caller)

    for one in (minted, burned):
        assert events.touched([one]).accounts == {build.BORROWER: frozenset({token})}
