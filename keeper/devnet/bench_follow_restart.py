"""Speed of restoring a book from its file, compared with a snapshot of real accounts."""

import asyncio
import contextlib
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from eth_utils.crypto import keccak

from keeper.book.file import BookFile
from keeper.book.follower import Follower
from keeper.book.keeping import Keeping
from keeper.book.kept import Change, MarketChange
from keeper.book.trail import Footprint
from keeper.chain.abi import checksum
from keeper.chain.reader import NodeReader, connect
from keeper.composition.wiring import load_market
from keeper.devnet.anvil import CHAIN_ID, AnvilOptions, start_anvil
from keeper.devnet.bench_book import Row, Wanted
from keeper.devnet.market import Devnet, bring_up
from keeper.devnet.node import Node
from keeper.devnet.sections import market_of
from keeper.domain.errors import EnvironmentFault
from keeper.domain.head import Head
from keeper.domain.units import Address
from keeper.protocols.aave_v3.adapter import AaveMarket

ACCOUNTS: Final = 100_000
TARGET: Final = 0.1
START: Final = 1_800_000_000

_WORD: Final = 32
_SLOTS: Final = 160
"""How many of a contract's first slots are looked through for a mapping."""


def measured(wanted: Wanted) -> Sequence[Row]:
    """Measure the restoring of a book."""
    return [asyncio.run(_restart(min(wanted.accounts, ACCOUNTS)))]


async def _restart(accounts: int) -> Row:
    with contextlib.ExitStack() as stack:
        anvil = stack.enter_context(start_anvil(AnvilOptions(timestamp=START)))
        node = Node(anvil.port)
        stack.callback(node.close)
        devnet = bring_up(node, borrowers=17)
        people = peopled(devnet, accounts)
        path = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "book.sqlite"
        async with connect([f"http://127.0.0.1:{anvil.port}"]) as reader:
            head = await reader.head()
            begun = time.perf_counter()
            market = load_market(market_of(devnet), reader)
            await market.discover(head)
            await market.load(head, people)
            snapshot = time.perf_counter() - begun
            if not isinstance(market, AaveMarket):
                raise EnvironmentFault("the devnet's market is not Aave's")
            size = _write_book(path, market, head)
            restart = await _measure_restore(devnet, reader, path, head, market)
    return Row(
        name=f"restart of a book of {accounts:,} accounts, until it could read the next block",
        unit="ms",
        measured=round(restart * 1_000, 1),
        limit_name="the same accounts from one snapshot of the chain",
        limit=round(snapshot * 1_000, 1),
        ratio=round(restart / snapshot, 4),
        target=TARGET,
        parts={"bytes of the file per account": round(size / accounts, 1)},
    )


def _write_book(path: Path, market: AaveMarket, head: Head) -> int:
    """Write the book and return the size of its file."""
    file = BookFile(path, CHAIN_ID)
    file.write(
        Change(
            gone=(),
            blocks=(Footprint(number=head.number, hash=head.hash, logs=()),),
            markets=(
                MarketChange(
                    market=market.key,
                    form=market.array_form(),
                    number=head.number,
                    hash=head.hash,
                    since=head.number,
                    scanned_to=head.number,
                    base=market.to_arrays(),
                ),
            ),
        )
    )
    file.close()
    return path.stat().st_size


async def _measure_restore(
    devnet: Devnet, reader: NodeReader, path: Path, head: Head, before: AaveMarket
) -> float:
    """Measure restoring a new process's book, which must equal the written one."""
    begun = time.perf_counter()
    market = load_market(market_of(devnet), reader)
    book = Follower(reader, [market])
    book.keeping = Keeping(path, CHAIN_ID)
    await book.start(head)
    elapsed = time.perf_counter() - begun
    await book.close()
    if not isinstance(market, AaveMarket) or book.rebuild_news():
        raise EnvironmentFault("the book was not taken up")
    mine, theirs = market.to_arrays(), before.to_arrays()
    if any((mine[name] != theirs[name]).any() for name in theirs):
        raise EnvironmentFault("the book that was taken up is another one")
    return elapsed


def peopled(devnet: Devnet, count: int) -> list[Address]:
    """Give generated accounts a collateral and a debt in the contracts' storage.

    Real contracts answer for them like for any other account.
    """
    node, aave = devnet.node, devnet.aave
    weth, usdc = (devnet.tokens[symbol].address for symbol in ("WETH", "USDC"))
    a_token = aave.data_provider.call("getReserveTokensAddresses", weth)[0]
    debt_token = aave.data_provider.call("getReserveTokensAddresses", usdc)[2]
    reserves = [one.lower() for one in aave.pool.call("getReservesList")]
    flags = (2 << 2 * reserves.index(weth.lower())) | (1 << 2 * reserves.index(usdc.lower()))
    known = next(one.address for one in devnet.borrowers if one.kind == "plain")
    places = (
        (a_token, _find_mapping_slot(node, a_token, known), 10**18),
        (debt_token, _find_mapping_slot(node, debt_token, known), 10**9),
        (aave.pool.address, _find_mapping_slot(node, aave.pool.address, known), None),
    )
    people = [checksum(keccak(number.to_bytes(_WORD))[:20]) for number in range(count)]
    calls = []
    for number, who in enumerate(people):
        for contract, slot, amount in places:
            value = flags if amount is None else amount + number
            key = "0x" + _compute_slot_key(who, slot).hex()
            word = "0x" + value.to_bytes(_WORD).hex()
            calls.append(("anvil_setStorageAt", [contract, key, word]))
    node.batch(calls)
    node.rpc("evm_mine")
    return people


def _find_mapping_slot(node: Node, contract: str, known: str) -> int:
    """Find the slot of a contract's first mapping with a value for a known account."""
    calls = [
        ("eth_getStorageAt", [contract, "0x" + _compute_slot_key(known, slot).hex(), "latest"])
        for slot in range(_SLOTS)
    ]
    for slot, word in enumerate(node.batch(calls)):
        if int(word, 16):
            return slot
    raise EnvironmentFault(f"{contract} keeps its accounts in a way that is not known")


def _compute_slot_key(account: str, slot: int) -> bytes:
    return bytes(keccak(bytes.fromhex(account[2:]).rjust(_WORD, b"\0") + slot.to_bytes(_WORD)))
