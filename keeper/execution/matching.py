"""Check of a receipt against the signed transaction."""

from keeper.chain.records import Receipt
from keeper.domain.errors import RpcMalformed
from keeper.domain.submission import Attempt
from keeper.domain.units import Address


def refuse_foreign(receipt: Receipt, attempt: Attempt, sender: Address) -> None:
    """Verify a receipt against the signed transaction, field by field.

    Raises:
        RpcMalformed: the receipt cannot be that of this transaction.
    """
    said = {
        "another sender": receipt.sender not in (None, sender),  # mutation: F11 receipt-sender
        "another target": receipt.sender is not None and receipt.to != attempt.to,
        "more gas than was allowed": (receipt.gas_used or 0) > attempt.gas_limit,
        "a higher price than was offered": (receipt.gas_price or 0) > attempt.fees.max_fee,
        "logs of another transaction or block": any(
            log.transaction_hash != attempt.hash
            or log.block_hash != receipt.block_hash
            or log.block_number != receipt.block_number
            or log.removed
            for log in receipt.logs or ()
        ),
    }
    wrong = [what for what, is_so in said.items() if is_so]
    if wrong:
        raise RpcMalformed(f"the receipt of {attempt.hash} names {', '.join(wrong)}")
