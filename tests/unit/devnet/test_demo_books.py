"""The demo's books hold only if the journal and the chain say the same, to the wei."""

import pytest

from keeper.audit.earnings import shared
from keeper.devnet.demo.books import Purse, audited, net_in_books, net_on_chain
from keeper.devnet.demo.ledger import funding_words
from tests.unit.devnet.books_builders import ONE, POOR, WHO, books, liquidation, seizure


def broken(facts):
    return [check.name for check in audited(facts) if not check.held]


def purse(usdc=0, weth=0, wei=0):
    return Purse(tokens={"USDC": usdc, "WETH": weth}, wei=wei)


def test_books_that_add_up_pass_every_check():
    """Otherwise the tests below would show nothing."""
    assert broken(books()) == []


def test_the_net_profit_is_proceeds_less_gas_at_the_stated_prices():
    """90 USDC less 0.008 ETH at 2,000 USD."""
    assert net_in_books(books()) == net_on_chain(books()) == 74 * 10**8


@pytest.mark.parametrize("off", [-1, 1])
def test_a_receiver_that_got_one_unit_more_or_less_fails(off):
    """A millionth of a dollar is a bug somewhere, not a rounding."""
    facts = books(receiver=purse(usdc=90_000_000 + off))

    assert broken(facts) == ["proceeds in USDC", "net profit"]


def test_a_token_that_nobody_booked_fails():
    """Money from nowhere means that the journal missed a liquidation."""
    assert "proceeds in WETH" in broken(books(receiver=purse(usdc=90_000_000, weth=1)))


@pytest.mark.parametrize("left", [{"executor": purse(usdc=1)}, {"executor": purse(wei=1)}])
def test_a_leftover_in_the_executor_fails(left):
    """What stays there belongs to the receiver, and anyone might find a way to it."""
    assert broken(books(**left)) == ["nothing stays behind"]


def test_a_wei_of_gas_that_no_receipt_explains_fails():
    """Somebody else signs with the key, or a hash is missing in the journal."""
    assert broken(books(hot=purse(wei=-8 * 10**15 - 1)))[0] == "gas"


def test_a_doctored_receipt_fails():
    """The price of gas is the receipt's, not the plan's."""
    assert "gas" in broken(books(receipts={"0x01": 8 * 10**15 - 1}))


def test_a_prediction_off_by_more_than_one_per_cent_fails():
    """A keeper that predicts badly sends what does not pay."""
    wrong = liquidation(realised_wei=20 * 10**15)

    assert broken(books(wrong)) == ["prediction"]
    assert broken(books(liquidation(realised_wei=20_800 * 10**12))) == []


def test_a_liquidation_that_is_not_on_chain_fails():
    """The journal may not make anything up."""
    assert broken(books(seizures=(seizure(liquidation()),))) == ["liquidations"]


def test_a_liquidation_that_is_not_in_the_journal_fails():
    """Nor may it forget anything."""
    known = books()
    strange = seizure(liquidation(transaction="0x02"))

    assert broken(books(seizures=(*known.seizures, strange))) == ["liquidations"]


def test_an_amount_unlike_the_pools_event_fails():
    """Spent and received are the protocol's word against the executor's."""
    known = books()
    doctored = (seizure(liquidation(spent=1_000_000_001)), known.seizures[1])

    assert broken(books(seizures=doctored)) == ["liquidations"]


@pytest.mark.parametrize("health", [None, ONE, 2 * ONE])
def test_a_healthy_account_that_was_liquidated_fails(health):
    """It was unhealthy when the plan was made, so it must show in the block before."""
    assert broken(books(liquidation(health_before=health))) == ["each once"]


def test_a_second_liquidation_that_had_not_seen_the_first_fails():
    """Planned at block 10 while the first of block 11 was under way: by mistake."""
    twice = books(liquidation(), liquidation(block=12, planned_block=10))

    assert broken(twice) == ["each once"]


def test_the_same_account_twice_in_one_block_fails():
    """One of them was planned blindly."""
    assert broken(books(liquidation(), liquidation(transaction="0x02"))) == ["each once"]


def test_a_further_round_in_the_same_transaction_is_right():
    """It was planned on what the step before it leaves."""
    assert broken(books(liquidation(), liquidation())) == []


def test_a_second_liquidation_after_the_first_was_seen_is_right():
    """Half of a debt at a time is the protocol's rule."""
    twice = books(liquidation(), liquidation(block=12, planned_block=11))

    assert broken(twice) == []


def test_an_account_left_without_a_reason_fails():
    """Every unhealthy account that was left alone has a reason that can be counted."""
    known = books()
    silent = tuple(
        type(each)(account=POOR, kind="dust", health=1, reason=None, detail="")
        for each in known.left_alone
    )

    assert broken(books(left_alone=silent)) == ["reasons"]


def test_a_plan_that_reverted_fails():
    """On a chain of our own there is nobody else to blame."""
    assert broken(books(failures=(f"{WHO}: reverted",))) == ["nothing reverted"]


def test_a_base_chain_that_moved_under_its_fork_fails():
    """The fork must keep everything to itself."""
    assert broken(books(base_moved=True)) == ["fork"]


def test_shares_of_gas_add_up_to_the_receipt():
    """The gas of a transaction is divided by the plans' estimates, without a unit lost."""
    assert shared([3, 3, 3], 100) == [34, 33, 33]
    assert sum(shared([401, 377, 512], 1_754_261)) == 1_754_261
    assert shared([], 5) == []


def test_an_unknown_funding_is_still_told():
    """A later kind of funding must not hide behind a wrong word."""
    assert funding_words("uniswap_v3_flash_swap") == "flash swap"
    assert funding_words("balancer_flash_loan") == "balancer flash loan"
