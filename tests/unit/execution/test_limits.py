import pytest

from keeper.composition.wallet import in_flight_limit
from tests.support.scripted_submission import account, head


class Reader:
    """Says what code an account has."""

    def __init__(self, code):
        self._code = code

    async def code(self, address, basis):
        return self._code


@pytest.mark.parametrize(("code", "limit"), [(b"", 16), (b"\xef\x01\x00" + b"\x11" * 20, 1)])
async def test_a_delegated_key_has_one_transaction_in_flight(code, limit):
    """Pools take no second one of an account with code (EIP-7702)."""
    assert await in_flight_limit(Reader(code), account(1), head(1)) == limit
