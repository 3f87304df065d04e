"""What a block's questions ask has its own answer, even where a market asks the very same."""

import pytest

from keeper.book.parity import Parity, Question
from keeper.book.read_ahead import ReadAhead
from keeper.domain.reads import Call, CallResult
from tests.flow.test_follower import address, head

STORED = Call(target=address(1), data=b"totals")
ACCRUE = Call(target=address(1), data=b"accrue")
NEW = Call(target=address(1), data=b"account")
HEAD = head(101)


class Accruing:
    """A contract that states other totals once interest was accrued in the same read."""

    async def aggregate(self, calls, basis):
        results, accrued = [], 0
        for call in calls:
            accrued += call == ACCRUE
            results.append(CallResult(success=True, data=bytes([accrued])))
        return results


class Asking(Parity):
    """Asks for the totals after an accrual."""

    def questions(self):
        return [Question(subject=("test:1", address(7)), calls=(ACCRUE, STORED))]


class OneMarket:
    """Reads the stored totals at each block."""

    def calls(self, _):
        return [STORED]


@pytest.mark.parametrize("is_early", [False, True])
async def test_an_audit_is_answered_after_its_own_accrual(is_early):
    """Otherwise a book's reckoning of interest would never be held against the contract's."""
    ahead = ReadAhead(Accruing(), HEAD, [OneMarket()], [], Asking(), is_early=is_early)

    results, answers = await ahead.fetch([STORED, NEW])

    assert [result.data for result in results] == [b"\0", b"\0"]
    assert [answer.data for answer in answers] == [b"\1", b"\1"]
