"""What an operator asks of any protocol's market: doctor, scan, explain, a dry run."""

from tests.chain.conformance.books import fall
from tests.chain.conformance.keepers import configured, decided, taken


def test_doctor_tells_what_the_market_is(world, tmp_path):
    """Every line of the market is fine, but for the risk of markets that anybody can add."""
    keeper = configured(tmp_path / "keeper", world.devnet, world)
    done = keeper.command("doctor", "--json")
    assert done.code == 0, done.out
    lines = [one for one in done.document["checks"] if one["what"].startswith("market ")]

    assert len(lines) >= 2
    risks = [line for line in lines if line["detail"].startswith("anybody can add a market")]
    assert {line["level"] for line in lines if line not in risks} == {"ok"}
    assert [line["level"] for line in risks] == ["warn"] * ("morpho" in world.name)


def test_doctor_tells_what_fails(world, tmp_path):
    """A failing part is a warning, not a failure of everything."""
    keeper = configured(tmp_path / "keeper", world.devnet, world)
    next(iter(world.failures().values())).happen()
    world.devnet.node.rpc("evm_mine")
    done = keeper.command("doctor", "--json")

    levels = [one["level"] for one in done.document["checks"] if one["what"].startswith("market ")]
    assert "warn" in levels
    assert "fail" not in levels


def test_scan_lists_everybody_past_the_line(world, tmp_path):
    """By market and account, with the contracts' health."""
    fall(world, 1, leave_pools=False)
    keeper = configured(tmp_path / "keeper", world.devnet, world)
    done = keeper.command("scan", "--json")
    assert done.code == 0, done.err

    for who in {account for _, account in taken(decided(keeper))}:
        assert who in done.out


def test_explain_says_what_would_be_done(world, tmp_path):
    """For one account, with its numbers; for one that is unknown, that it is."""
    fall(world, 1, leave_pools=False)
    keeper = configured(tmp_path / "keeper", world.devnet, world)
    market, account = min(taken(decided(keeper)))
    done = keeper.command("explain", account)
    unknown = keeper.command("explain", "0x" + "12" * 20)
    guarded = keeper.command("explain", account, "--set", "policy.name=guardian")

    assert "the policy's waiting by what the keeper remembers of block" in guarded.out
    assert done.code == 0, done.err
    assert market in done.out
    assert "liquidate" in done.out.lower()
    assert account not in unknown.out
    assert "Traceback" not in unknown.err
