"""What is learnt of a node that will never take a transaction, and what is made of it."""

from dataclasses import replace

import pytest

from keeper.domain.errors import RpcRefused
from keeper.domain.submission import Attempt, AttemptKind, Fees, Submission
from keeper.domain.units import GWEI
from keeper.execution.fees import FeeMarket
from keeper.execution.send_caps import FIRST_RETRY_SECONDS, SendCaps, SendLimit
from keeper.execution.sending import Answer, classified
from tests.support.scripted_submission import batch, head, plan

MARKET = FeeMarket(base_fee=10 * GWEI, priority_fee=2 * GWEI)
FEES = Fees(max_fee=100 * GWEI, priority_fee=2 * GWEI)
GAS = 17_000_000
TEXTS = {
    "transaction gas limit exceeds 16777216": (SendLimit.GAS, 16_777_216),
    "transaction gas limit too high (cap: 16777216, tx: 17000000)": (SendLimit.GAS, 16_777_216),
    "transaction gas limit (17000000) is greater than the cap (16777216)": (
        SendLimit.GAS,
        16_777_216,
    ),
    "exceeds block gas limit": (SendLimit.GAS, GAS // 2),
    "caller gas above: gas limit is too high": (SendLimit.GAS, GAS // 2),
    "GasLimitExceeded": (SendLimit.GAS, GAS // 2),
    "tx fee (1.70 ether) exceeds the configured cap (1.00 ether)": (SendLimit.FEE, 10**18),
    "tx fee (1.70 ether) exceeds the configured cap (0.25 ether)": (SendLimit.FEE, 25 * 10**16),
    "Transaction fee cap exceeded": (SendLimit.FEE, GAS * 100 * GWEI // 2),
    "oversized data: transaction size 140000, limit 131072": (SendLimit.SIZE, 131_072),
    "oversized data": (SendLimit.SIZE, 70_000),
    "transaction type not supported": (SendLimit.KIND, 6),
    "invalid chain id for signer: have 1 want 5": (SendLimit.KIND, 6),
    "intrinsic gas too low: have 21000, want 30000": (SendLimit.PLANS, 6),
}


class Clock:
    """A clock that stands until it is moved."""

    now = 1_000.0

    def __call__(self):
        return self.now


def plans(count):
    return batch(*[plan(at) for at in range(count)], gas_limit=1_000_000 * count)


def halves(made):
    """Split as the executor's batches are: consecutive plans, each with its gas."""
    if len(made.plans) == 1:
        return ()
    middle = (len(made.plans) + 1) // 2
    return [
        replace(made, plans=part, gas_limit=1_000_000 * len(part), calldata=b"\xab" * len(part))
        for part in (made.plans[:middle], made.plans[middle:])
    ]


def refused(text, made=None):
    made = made or batch(*[plan(at) for at in range(12)], gas_limit=GAS)
    attempt = Attempt(
        nonce=0, kind=AttemptKind.SEND, hash="0xaa", raw=bytes(140_000), fees=FEES,
        gas_limit=made.gas_limit, to=made.executor, calldata=made.calldata, block_number=1,
    )  # fmt: skip
    error = RpcRefused(text, number=-32000, text=text)
    return Submission(nonce=0, batch=made, attempts=(attempt,)), error


def fitted(caps, *priced, price=lambda _: FEES, at=None):
    return caps.fit(priced, price, MARKET, at or head(10))


@pytest.mark.parametrize("text", TEXTS)
def test_a_refusal_for_good_says_what_is_too_much_and_often_how_much_is_not(text):
    """Where it names no number, half of what was refused is tried."""
    caps = SendCaps()
    limit, value = TEXTS[text]
    submission, error = refused(text)

    assert classified(error) is Answer.REFUSED
    assert caps.learn(submission, error) is limit
    assert caps.known_value(limit) == value


def test_a_batch_is_split_until_its_parts_are_within_the_cap():
    """Twelve plans of a million each, and a node that takes three and a half."""
    caps = SendCaps(split=halves)
    caps.learn(*refused("transaction gas limit exceeds 3500000"))

    found = fitted(caps, (plans(12), FEES))

    assert [len(made.plans) for made, _ in found] == [3, 3, 3, 3]
    assert [each.account for made, _ in found for each in made.plans] == [
        each.account for each in plans(12).plans
    ]


@pytest.mark.parametrize(
    ("changes", "at"),
    [({"most_gas": 2_500_000}, head(10)), ({}, head(10, gas_limit=2_500_000))],
)
def test_the_policys_and_the_blocks_gas_are_caps_before_anything_is_refused(changes, at):
    """What is known beforehand costs no refusal."""
    found = fitted(SendCaps(split=halves, **changes), (plans(4), FEES), at=at)

    assert [len(made.plans) for made, _ in found] == [2, 2]


def test_a_plan_that_is_too_large_by_itself_is_left_out_and_the_others_go(caplog):
    """Nothing can be done for it on this node."""
    caps = SendCaps(split=halves, most_gas=1_500_000)
    huge = replace(plans(1), gas_limit=2_000_000)

    assert [made.gas_limit for made, _ in fitted(caps, (huge, FEES), (plans(1), FEES))] == [
        1_000_000
    ]
    assert "too_large_to_send" in caplog.text


def test_a_cap_on_the_fee_lowers_the_ceiling_while_the_market_allows_it():
    """Geth's own: a million gas at 100 gwei is 0.1 ether, at 50 gwei half of that."""
    caps = SendCaps(split=halves)
    caps.learn(*refused("tx fee (1.7 ether) exceeds the configured cap (0.05 ether)"))

    ((made, fees),) = fitted(caps, (plans(1), FEES))

    assert fees == Fees(max_fee=50 * GWEI, priority_fee=2 * GWEI)
    assert made.gas_limit * fees.max_fee <= 5 * 10**16
    assert caps.most_fee(1_000_000) == 50 * GWEI


def test_a_cap_on_the_fee_splits_what_could_not_pay_the_next_blocks():
    """Four plans at 12.5 gwei would be behind the base fee a block later."""
    caps = SendCaps(split=halves)
    caps.learn(*refused("tx fee (1.7 ether) exceeds the configured cap (0.05 ether)"))

    found = fitted(caps, (plans(4), FEES))

    assert [(len(made.plans), fees.max_fee // GWEI) for made, fees in found] == [(2, 25), (2, 25)]


def test_a_cap_on_the_size_counts_the_calldata():
    """A pool takes 128 KiB of a transaction."""
    caps = SendCaps(split=halves)
    caps.learn(*refused("oversized data: transaction size 140000, limit 100000"))
    long = replace(plans(2), calldata=bytes(100_000))

    assert [len(made.plans) for made, _ in fitted(caps, (long, FEES))] == [1, 1]


def test_a_part_that_does_not_pay_is_left_out():
    """Each transaction has its own overhead."""
    caps = SendCaps(split=halves, most_gas=1_500_000)
    prices = iter([FEES, None])

    assert len(fitted(caps, (plans(2), FEES), price=lambda _: next(prices))) == 1


def test_whose_transaction_is_refused_alone_is_left_alone_and_nobody_else():
    """One odd account among twelve is found by halves, and costs the others nothing."""
    caps = SendCaps(split=halves)
    caps.learn(*refused("intrinsic gas too low", plans(2)))
    apart = [len(made.plans) for made, _ in fitted(caps, (plans(2), FEES))]
    caps.learn(*refused("intrinsic gas too low", plans(1)))

    assert apart == [1, 1]
    assert [made.plans[0].account for made, _ in fitted(caps, (plans(2), FEES))] == [
        plan(1).account
    ]


def test_what_no_transaction_would_change_halts_signing_for_a_while():
    """A node of before EIP-1559 takes nothing of ours."""
    clock = Clock()
    caps = SendCaps(clock=clock)
    caps.learn(*refused("transaction type not supported"))
    halted = caps.halted()
    clock.now += FIRST_RETRY_SECONDS

    assert "transaction type not supported" in halted
    assert caps.halted() == ""


@pytest.mark.slow
def test_a_cap_is_tried_again_after_a_while_and_kept_for_longer_each_time():
    """Nodes are upgraded; a cap that stands is not run into every few minutes."""
    clock = Clock()
    caps = SendCaps(split=halves, clock=clock)
    pauses = []
    for _ in range(6):
        caps.learn(*refused("transaction gas limit exceeds 3500000"))
        start = clock.now
        while len(fitted(caps, (plans(4), FEES))) > 1:
            clock.now += 60.0
        pauses.append(clock.now - start)

    assert pauses == [300, 600, 1_200, 2_400, 3_600, 3_600]


def test_without_any_cap_everything_goes_as_it_is():
    """The way of nearly every node."""
    priced = [(plans(12), FEES), (plans(1), FEES)]

    assert fitted(SendCaps(), *priced, at=head(10, gas_limit=60_000_000)) == priced
    assert SendCaps().halted() == ""
    assert SendCaps().most_fee(1) is None
