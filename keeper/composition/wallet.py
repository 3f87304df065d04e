"""Who the hot key is, and whether the executor takes its orders; the key itself is not kept."""

from typing import Final

from keeper.chain.abi import address_at, calldata, topic, word
from keeper.config import Settings
from keeper.domain.errors import EnvironmentFault, RpcMalformed
from keeper.domain.head import Basis, Head
from keeper.domain.reads import Call, LogFilter
from keeper.domain.units import Address
from keeper.execution.keystore import stated_address
from keeper.execution.signer import checked_key
from keeper.ports import ChainReader

IN_FLIGHT: Final = 16
"""Nonces that may wait at once; a stuck one must not take the whole balance with it."""

_OPERATOR_SET: Final = topic("OperatorSet(address,bool)")


def hot_address(settings: Settings) -> Address | None:
    """Return the hot key's address without keeping the key; None where it is not stated."""
    wallet = settings.wallet
    if wallet.private_key is not None:
        return checked_key(bytes.fromhex(wallet.private_key.get_secret_value().removeprefix("0x")))
    return stated_address(wallet.keystore) if wallet.keystore is not None else None


async def an_operator(reader: ChainReader, executor: Address, since: int, head: Head) -> Address:
    """
    Return an account that the executor takes orders from, by its own logs since a block.

    A dry run signs for nobody, but its simulation has to be somebody's.

    Raises:
        EnvironmentFault: it has none.
    """
    wanted = LogFilter(addresses=(executor,), topics=((_OPERATOR_SET,),))
    for log in reversed(await reader.logs_between(wanted, since, head.number)):
        account = address_at(log.topics[1], 0)
        if await is_operator(reader, executor, account, head):
            return account
    raise EnvironmentFault(
        f"the executor {executor} has no operator",
        hint="its owner must call setOperator; check with `keeper executor check`",
    )


async def is_operator(reader: ChainReader, executor: Address, account: Address, head: Head) -> bool:
    """
    Return whether the executor lets the account liquidate.

    Raises:
        EnvironmentFault: there is no executor at the address.
    """
    call = Call(target=executor, data=calldata("isOperator(address)", account))
    answers = await reader.aggregate([call], Basis(block_hash=head.hash))
    try:
        return bool(answers[0].success and word(answers[0].data, 0))
    except RpcMalformed:
        raise EnvironmentFault(
            f"there is no executor at {executor}", hint="run `keeper executor deploy`"
        ) from None


async def in_flight_limit(reader: ChainReader, account: Address, head: Head) -> int:
    """Return how many nonces may wait: one where the account has code, as pools then want it."""
    delegated = await reader.code(account, Basis(block_hash=head.hash))
    return 1 if delegated else IN_FLIGHT
