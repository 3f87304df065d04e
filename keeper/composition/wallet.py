"""Address of the hot key and its operator role. The key itself is not stored."""

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
"""Highest number of nonces in flight, so that a stuck one cannot bind the whole balance."""

_OPERATOR_SET: Final = topic("OperatorSet(address,bool)")


def hot_address(settings: Settings) -> Address | None:
    """Derive the hot key's address without storing the key. None if it is not stated."""
    wallet = settings.wallet
    if wallet.private_key is not None:
        return checked_key(bytes.fromhex(wallet.private_key.get_secret_value().removeprefix("0x")))
    return stated_address(wallet.keystore) if wallet.keystore is not None else None


async def an_operator(reader: ChainReader, executor: Address, since: int, head: Head) -> Address:
    """Find an operator of the executor in its logs since a block.

    A dry run has no key, but its simulation needs an allowed sender.

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
    """Return whether the account is an operator of the executor.

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
    """Return the limit of nonces in flight, one if the account has code, as pools require."""
    delegated = await reader.code(account, Basis(block_hash=head.hash))
    return 1 if delegated else IN_FLIGHT
