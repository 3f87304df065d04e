"""`audit book` is about the book that the keeper acts on, and names whom it lacks."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from keeper.book.file import BookFile
from keeper.book.kept import Change
from keeper.chain.abi import topic
from keeper.columns.view import View
from keeper.protocols.aave_v3.accounts import borrowers
from keeper.protocols.aave_v3.adapter import AaveMarket
from tests.chain.worlds import Keeper
from tests.support.proxy import Proxy
from tests.support.threaded import proxied
from tests.unit.protocols.aave_builders import write

CHAIN_ID = 31337


@pytest.fixture
def proxy(aave36) -> Iterator[Proxy]:
    with proxied(aave36.node.port) as made:
        yield made


@pytest.fixture
def keeper(aave36, proxy, tmp_path) -> Keeper:
    made = Keeper(tmp_path / "keeper", aave36, endpoint=proxy.ws_url)
    made.configure()
    assert made.command("scan", "--json").code == 0
    return made


def changed_book(keeper: Keeper, change) -> None:
    """Write the kept book anew, with its accounts as ``change`` returns them."""
    path = keeper.folder / "keeper.book.sqlite"
    file = BookFile(path, CHAIN_ID)
    ((key, kept),) = file.kept().markets.items()
    market, other = (AaveMarket(keeper.devnet.aave.provider.address, 0, None) for _ in range(2))
    for one in (market, other):
        one.restore_structure(kept.structure.facts())
    market.from_arrays(kept.base)
    for delta in kept.deltas:
        market.merge(delta)
    write(other, change(dict(borrowers(View(market.columns)))))
    base = replace(kept, market=key, base=other.to_arrays(), deltas=())
    file.write(Change(gone=(), blocks=(), markets=(base,)))
    file.close()


def without(account: str):
    return lambda accounts: {who: state for who, state in accounts.items() if who != account}


def audited(keeper: Keeper, *arguments: str):
    done = keeper.command("audit", "book", "--json", *arguments)
    return done.code, done.document, done.err


def test_a_whole_book_is_audited_without_its_history(keeper, proxy):
    """All debt is owed by somebody: nobody is missing."""
    proxy.reset()
    code, document, _ = audited(keeper)

    assert code == 0
    assert document["missing"] is None
    assert document["kept_block"] == keeper.devnet.node.block_number()
    assert document["accounts"] >= len(keeper.devnet.borrowers)
    assert proxy.counts["eth_getLogs"] <= 2  # a second look at the newest blocks


def test_a_borrower_who_is_missing_in_the_kept_book_is_named(keeper, aave36):
    """Read anew, the book would have had the borrower, and the keeper would not."""
    gone = aave36.borrowers[3].address
    changed_book(keeper, without(gone))

    code, document, _ = audited(keeper)

    assert code == 3
    assert [one["account"] for one in document["missing"]] == [gone]
    assert document["differing"] == 0
    assert int(document["coverage"]["uncovered_usd_e8"]) > 0
    plain = keeper.command("audit", "book")
    assert plain.code == 3
    assert gone in plain.out


def test_the_history_may_be_left_alone(keeper, aave36, proxy):
    """The debt that nobody owes is told all the same."""
    changed_book(keeper, without(aave36.borrowers[3].address))
    proxy.reset()

    code, document, _ = audited(keeper, "--no-rescan")

    assert code == 3
    assert document["missing"] is None
    assert proxy.counts["eth_getLogs"] <= 2  # a second look at the newest blocks


def test_the_history_may_be_asked_for(keeper, proxy):
    """Nobody is missing in a whole book."""
    proxy.reset()
    code, document, _ = audited(keeper, "--rescan")

    assert code == 0
    assert document["missing"] == []
    assert proxy.counts["eth_getLogs"] > 0


def test_the_running_keepers_book_is_audited(keeper, aave36):
    """Through its file, which is left alone."""
    gone = aave36.borrowers[3].address
    changed_book(keeper, without(gone))
    node = aave36.node
    with keeper.running("--observe") as running:
        node.rpc("evm_mine")
        running.until("block", block=node.block_number())
        code, document, _ = audited(keeper)

    assert code == 3
    assert [one["account"] for one in document["missing"]] == [gone]
    assert document["kept_block"] is not None


def test_an_account_that_is_kept_wrongly_differs(keeper, aave36):
    """It is not read anew before it is compared."""
    wrong = aave36.borrowers[2].address

    def changed(accounts):
        account = accounts[wrong]
        holdings = {
            at: replace(one, scaled_supply=one.scaled_supply // 2)
            for at, one in account.holdings.items()
        }
        return accounts | {wrong: replace(account, holdings=holdings)}

    changed_book(keeper, changed)

    code, document, _ = audited(keeper, "--no-rescan")

    assert code == 3
    assert {one["account"] for one in document["differences"]} == {wrong}


def test_a_first_block_that_is_too_late_is_found_out(keeper, aave36, proxy):
    """The history is read from the contract's creation, whatever the settings say."""
    everybody = {one["account"] for one in scanned(keeper)}
    late = first_borrow(aave36) + 1
    path = keeper.folder / "keeper.toml"
    path.write_text(
        path.read_text().replace(f"from_block = {aave36.from_block}", f"from_block = {late}")
    )
    for file in keeper.folder.glob("keeper.book.sqlite*"):
        file.unlink()
    known = {one["account"] for one in scanned(keeper)}

    code, document, _ = audited(keeper)

    assert code == 3
    assert {one["account"] for one in document["missing"]} == everybody - known != set()


def scanned(keeper: Keeper):
    return keeper.command("scan", "--json", "--all").document["accounts"]


def first_borrow(devnet) -> int:
    """Return the block of the pool's first Borrow log."""
    wanted = {
        "fromBlock": "0x0",
        "toBlock": "latest",
        "address": devnet.aave.pool.address,
        "topics": [
            "0x" + topic("Borrow(address,address,address,uint256,uint8,uint256,uint16)").hex()
        ],
    }
    return min(int(log["blockNumber"], 16) for log in devnet.node.rpc("eth_getLogs", [wanted]))
