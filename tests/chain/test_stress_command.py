"""``keeper stress``, ``keeper audit book`` and ``keeper scan`` as an operator runs them."""

import json

import pytest

from tests.chain.conformance.aave import AaveWorld
from tests.chain.conformance.keepers import configured
from tests.chain.conftest import running_devnet


@pytest.fixture
def keeper(aave36, tmp_path):
    """A keeper of one Aave market."""
    return configured(tmp_path / "keeper", aave36, AaveWorld("aave_3.6", aave36))


@pytest.fixture(scope="module")
def whole_history(tmp_path_factory):
    """A keeper of a chain that still has its first blocks' state: a shared one drops it."""
    for devnet in running_devnet("3.6"):
        folder = tmp_path_factory.mktemp("whole-history") / "keeper"
        yield configured(folder, devnet, AaveWorld("aave_3.6", devnet))


def told(finished):
    assert finished.code == 0, finished.err
    return finished.document


def test_stress_tells_what_would_cross_and_what_can_be_sold(keeper, aave36):
    """Who crosses is who is liquidatable once the price is there."""
    found = told(keeper.command("stress", "--shock", "WBTC=-25%", "--json"))
    assert found["shocks"][0]["symbol"] == "WBTC"
    assert float(found["totals"]["debt_usd"]) > 0
    assert {one["sell_symbol"] for one in found["exits"]} >= {"WBTC"}
    assert any(int(one["depth"]) > 0 for one in found["exits"])

    aave36.set_prices({"WBTC": aave36.prices()["WBTC"] * 75 // 100}, leave_pools=True)
    crossed = {one["account"] for one in found["crossed"]}
    assert crossed
    assert crossed == set(aave36.unhealthy())


def test_stress_draws_a_curve(keeper):
    """A point per step, worse the further prices fall; as PNG and as SVG."""
    for name, begins in (("curve.png", b"\x89PNG"), ("curve.svg", b"<?xml")):
        arguments = ("--shock", "WETH=-1%", "--curve", "0:-60:-20", "--plot", name, "--json")
        found = told(keeper.command("stress", *arguments))
        assert (keeper.folder / name).read_bytes().startswith(begins)
    debts = [float(one["debt_usd"]) for one in found["curve"]]
    assert [one["percent"] for one in found["curve"]] == ["0", "-20", "-40", "-60"]
    assert debts[0] == 0 < debts[1] < debts[-1]
    assert float(found["curve"][-1]["bad_debt_usd"]) > 0


def test_stress_refuses_what_it_cannot_mean(keeper):
    """An unknown token with the nearest one; a fall of more than everything."""
    unknown = keeper.command("stress", "--shock", "WETHH=-20%")
    assert unknown.code == 2
    assert "did you mean WETH?" in unknown.err
    assert keeper.command("stress", "--shock", "WETH=-120%").code == 2
    assert keeper.command("stress").code == 2


@pytest.mark.parametrize(
    ("command", "code", "said"),
    [
        ("scan --block 0", 2, "at block 0"),
        ("stress --shock WETH=-1% --block 1", 2, "at block 1"),
        ("audit book --block 1", 2, "at block 1"),
        ("explain 0x1 --block earliest", 2, "at block 0"),
        ("scan --block 999999999", 3, "block 999999999 is not there yet"),
        ("audit book --block 0xffffffff", 3, "block 4294967295 is not there yet"),
    ],
)
def test_a_block_that_is_too_early_or_not_there_is_said_to_be_that(
    whole_history, command, code, said
):
    """The settings are right: whoever is told that an address is wrong looks for hours."""
    done = whole_history.command(*command.split())

    assert done.code == code
    assert said in done.err
    hint = "after the market was made" if code == 2 else "hint: the newest block is "
    assert hint in done.err


def test_a_record_that_is_asked_for_and_is_not_there_is_said_to_be_missing(keeper, aave36):
    """An account's story without its past reads as: nothing was ever on record."""
    done = keeper.command("explain", aave36.borrowers[0].address, "--record", "observe")

    assert done.code == 0
    assert "there is no record at " in done.err
    assert "keeper.observe.sqlite" in done.err


def test_audit_book_agrees_with_the_contract(keeper, aave36):
    """Every borrower, at a named block, and the exit code of success."""
    aave36.pass_time(10**7)
    found = told(keeper.command("audit", "book", "--json"))

    assert found["accounts"] >= len(aave36.borrowers)
    assert (found["differing"], found["not_compared"], found["differences"]) == (0, 0, [])
    assert found["block"]["number"] == aave36.node.block_number()


def test_scan_filters_and_sorts(keeper, aave36):
    """Each filter leaves what it says, in the order that was asked for."""
    everybody = told(keeper.command("scan", "--all", "--json"))["accounts"]
    assert len(everybody) == len(aave36.borrowers)

    low = told(keeper.command("scan", "--health-below", "1.3", "--json"))["accounts"]
    assert {one["account"] for one in low} == {
        one["account"] for one in everybody if int(one["health_factor"]) < 13 * 10**17
    }
    rich = told(
        keeper.command("scan", "--all", "--debt-above", "20000", "--sort", "debt", "--json")
    )
    debts = [int(one["debt_base"]) for one in rich["accounts"]]
    assert debts == sorted(debts, reverse=True)
    assert set(debts) == {
        int(one["debt_base"]) for one in everybody if int(one["debt_base"]) > 20_000 * 10**8
    }
    three = told(keeper.command("scan", "--all", "--limit", "3", "--json"))["accounts"]
    assert three == everybody[:3]

    with_link = told(keeper.command("scan", "--all", "--asset", "link", "--json"))["accounts"]
    assert {one["account"] for one in with_link} == {
        one.address for one in aave36.borrowers if "LINK" in one.collateral or "LINK" in one.debt
    }


def test_scan_shows_the_distribution(keeper):
    """Bars in the terminal, figures in JSON, a picture in a file; the debt adds up."""
    found = told(keeper.command("scan", "--all", "--histogram", "--plot", "h.svg", "--json"))
    whole = sum(int(one["debt_base"]) for one in found["accounts"])
    assert sum(int(one["debt_usd_e8"]) for one in found["histogram"]) == whole
    assert (keeper.folder / "h.svg").read_bytes().startswith(b"<?xml")
    shown = keeper.command("scan", "--histogram")
    assert "█" in shown.out
    assert json.dumps(found)


def test_the_overdue_are_listed_with_the_journals_reason(keeper, aave36):
    """Left alone since a dry run refused them; not before the time is over."""
    aave36.node.rpc("anvil_setNextBlockBaseFeePerGas", [hex(10**15)])
    aave36.set_prices({"WBTC": aave36.prices()["WBTC"] * 70 // 100}, leave_pools=True)
    done = keeper.command("run", "--dry-run", "--json", "--blocks", "1")
    assert done.code == 0, done.err
    refused = {one["account"]: one for one in done.events if one.get("action") == "skip"}
    assert refused
    aave36.pass_time(3_600)

    late = told(keeper.command("scan", "--overdue", "3000", "--json"))["accounts"]
    assert {one["account"] for one in late} >= set(refused)
    for one in late:
        if one["account"] in refused:
            assert one["reason"] == refused[one["account"]]["reason"]
            assert one["overdue_seconds"] >= 3_600
    later = told(keeper.command("scan", "--overdue", "9000", "--json"))["accounts"]
    assert not {one["account"] for one in later} & set(refused)
