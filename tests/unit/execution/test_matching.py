"""A receipt that cannot be that of the bytes that were signed is no receipt."""

from dataclasses import replace

import pytest

from keeper.chain.records import Receipt
from keeper.domain.errors import RpcMalformed
from keeper.domain.reads import Log
from keeper.domain.submission import Attempt, AttemptKind, Fees
from keeper.execution.matching import refuse_foreign

ME, TARGET, OTHER = "0x" + "11" * 20, "0x" + "22" * 20, "0x" + "33" * 20
HASH, BLOCK = "0x" + "ab" * 32, "0x" + "cd" * 32

ATTEMPT = Attempt(
    nonce=3,
    kind=AttemptKind.SEND,
    hash=HASH,
    raw=b"raw",
    fees=Fees(max_fee=100, priority_fee=2),
    gas_limit=500_000,
    to=TARGET,
    calldata=b"",
    block_number=9,
)
LOG = Log(
    address=TARGET,
    topics=(),
    data=b"",
    block_number=10,
    block_hash=BLOCK,
    transaction_hash=HASH,
    index=0,
    removed=False,
)
RECEIPT = Receipt(
    transaction_hash=HASH,
    block_hash=BLOCK,
    block_number=10,
    success=True,
    gas_used=400_000,
    gas_price=90,
    contract=None,
    logs=(LOG,),
    sender=ME,
    to=TARGET,
)


def test_a_receipt_that_fits_passes_and_so_does_one_that_says_less():
    """Some nodes leave sender and target out."""
    refuse_foreign(RECEIPT, ATTEMPT, ME)
    refuse_foreign(replace(RECEIPT, sender=None, to=None), ATTEMPT, ME)


@pytest.mark.parametrize(
    ("lie", "named"),
    [
        ({"sender": OTHER}, "another sender"),
        ({"to": OTHER}, "another target"),
        ({"to": None}, "another target"),
        ({"gas_used": 500_001}, "more gas"),
        ({"gas_price": 101}, "a higher price"),
        ({"logs": (replace(LOG, transaction_hash=BLOCK),)}, "logs of another"),
        ({"logs": (LOG, replace(LOG, block_hash=HASH))}, "logs of another"),
        ({"logs": (replace(LOG, block_number=11),)}, "logs of another"),
        ({"logs": (replace(LOG, removed=True),)}, "logs of another"),
    ],
)
def test_f11_a_lying_receipt_is_refused_by_the_field_that_betrays_it(lie, named):
    """Profit is booked from it, and a nonce is closed by it."""
    with pytest.raises(RpcMalformed, match=named):
        refuse_foreign(replace(RECEIPT, **lie), ATTEMPT, ME)
