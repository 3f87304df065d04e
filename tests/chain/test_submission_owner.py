"""What a person orders with the hot key: recorded like any other, known to the next run."""

import sqlite3

import pytest

from keeper.devnet.node import Transaction
from keeper.execution.signer import checked_key
from keeper.storage.journal import Journal
from tests.chain.worlds import Keeper, plans_of

KEY = b"\x07" * 32
REAL_CHAIN = 5_555
COLD = "0x00000000000000000000000000000000000c01d0"
FALL = {"WETH": 2_500 * 10**8}


@pytest.fixture
def keeper(aave36, tmp_path):
    """A keeper with a key that never sent anything."""
    made = Keeper(tmp_path / "keeper", aave36, key=KEY.hex())
    aave36.node.set_balance(checked_key(KEY), 10**19)
    made.executor = None
    made.configure()
    return made


@pytest.fixture
def on_a_real_chain(keeper):
    """The same chain under an id that is nobody's local one."""
    keeper.devnet.node.rpc("anvil_setChainId", [REAL_CHAIN])
    keeper.configure(chain_id=REAL_CHAIN)
    yield keeper
    keeper.devnet.node.rpc("anvil_setChainId", [31_337])


def deployed(keeper, *arguments, chain_id=31_337):
    real = ("--owner", COLD, "--yes", "--another") if chain_id == REAL_CHAIN else ()
    done = keeper.command("executor", "deploy", "--json", *real, *arguments)
    assert done.code == 0, done.err
    keeper.executor = done.document["address"]
    keeper.configure(chain_id=chain_id)
    return keeper.executor


def nonces(keeper):
    with sqlite3.connect(f"file:{keeper.folder / 'keeper.sqlite'}?mode=ro", uri=True) as raw:
        found = raw.execute("SELECT nonce, state FROM transactions ORDER BY nonce").fetchall()
    raw.close()
    return found


def test_a_fresh_key_deploys_and_runs_on_a_local_chain(keeper):
    """No journal yet, nothing to look up: the two commands of the manual."""
    deployed(keeper)
    keeper.devnet.set_prices(FALL)

    with keeper.running("--blocks", "1") as running:
        assert running.end() == 0, running.log.read_text()
        assert [one["failure"] for one in plans_of(running.events)] != []


def test_on_a_real_chain_the_deployment_makes_the_journal_that_the_run_needs(on_a_real_chain):
    """The first nonce is recorded, so the node that comes next knows who used it."""
    keeper = on_a_real_chain
    deployed(keeper, chain_id=REAL_CHAIN)
    assert nonces(keeper) == [(0, "included")]
    keeper.devnet.set_prices(FALL)

    # No block comes by itself here, and the key would be watched for two; the chain's clock is
    # far ahead of this machine's, which no real chain's is.
    clock = ("--set", "observe.late_after_blocks=10000", "--set", "chain.block_time_ms=3600000")
    own = ("--set", "run.quiet_blocks=0", *clock)
    with keeper.running("--blocks", "1", *own) as running:
        assert running.end() == 0, running.log.read_text()
        assert plans_of(running.events)
    assert len(nonces(keeper)) >= 2


def test_a_cold_key_leaves_no_journal_behind(on_a_real_chain):
    """It is another's journal that the node will need."""
    deployed(on_a_real_chain, "--operator", COLD, chain_id=REAL_CHAIN)

    assert not (on_a_real_chain.folder / "keeper.sqlite").exists()


def test_a_used_key_gets_a_journal_only_when_asked(on_a_real_chain):
    """What it sent before may be anybody's; the flag says that it is nobody's."""
    keeper = on_a_real_chain
    hot = checked_key(KEY)
    keeper.devnet.node.send(Transaction(sender=hot, to=hot, data=b""))
    deployed(keeper, chain_id=REAL_CHAIN)
    without = (keeper.folder / "keeper.sqlite").exists()
    deployed(keeper, "--init-journal", chain_id=REAL_CHAIN)

    assert without is False
    assert nonces(keeper) == [(2, "included")]


def test_orders_beside_a_journal_are_known_to_the_next_run(keeper):
    """Deploy and sweep with the hot key: the node starts, and nobody is a foreigner."""
    hot, weth = checked_key(KEY), keeper.devnet.tokens["WETH"]
    Journal.open(keeper.folder / "keeper.sqlite", chain_id=31_337, sender=hot).close()
    deployed(keeper)
    admin = keeper.devnet.accounts.admin
    keeper.devnet.node.send(Transaction(sender=admin, to=weth.address, data=b"", value=10**16))
    weth.send("transfer", keeper.executor, 10**15)

    swept = keeper.command("executor", "sweep", "--to", COLD, "--json")
    with keeper.running("--once") as running:
        code = running.end()

    assert [one["amount"] for one in swept.document["swept"]] == [str(10**15)]
    assert [nonce for nonce, _ in nonces(keeper)] == [0, 1]
    assert code == 0, running.log.read_text()


def test_no_order_while_a_node_has_the_journal(keeper):
    """Two processes with one key would take the same nonce."""
    deployed(keeper)
    with keeper.running() as running:
        running.until("block")
        done = keeper.command("executor", "deploy", "--json")

    assert done.code == 4
    assert "in use by process" in done.err
