"""A recorded transaction can be read by a person: web3's codec over the executor's ABI."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeper.execution.described import described
from keeper.execution.executor import liquidate_calldata
from tests.support.scripted_submission import plan


def test_a_liquidation_is_told_by_its_names():
    """What our own encoder wrote, another library reads back."""
    one = plan()

    told = described(liquidate_calldata([one], [700_000], 1_234, 50))

    (step,) = told["arguments"]["steps"]
    assert (told["function"], told["arguments"]["deadline"]) == ("liquidate", "1234")
    assert (step["spendToken"], step["gasLimit"]) == (one.spend_token, "700000")
    assert step["borrowAmount"] == str(one.funding.amount)
    assert step["data"] == "0x" + one.step_data.hex()


@pytest.mark.slow
@given(st.binary(max_size=200))
def test_foreign_bytes_are_no_call_and_no_error(raw):
    """The journal also has cancellations, and one day other executors' calls."""
    told = described(raw)

    assert told is None or told["function"] in ("liquidate", "setPaused", "acceptOwnership")
