"""The benchmark runs the real keeper on a real market and says what it measured."""

import json

import pytest

from keeper.devnet import bench
from keeper.devnet.bench_floor import PARTS
from keeper.devnet.bench_market import Stairs
from keeper.devnet.bench_wire import SEND, Wire

pytestmark = pytest.mark.early(10)

MOST_REQUESTS = 10


def measured(capsys, *arguments):
    assert bench.main([*arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("transport", ["ws", "ipc", "http"])
def test_latency_tells_times_requests_and_the_floor(capsys, transport):
    """Each part of the floor has a time, and a reaction takes no more than ten requests."""
    told = measured(
        capsys, "latency", "--samples", "2", "--borrowers", "12", "--transport", transport
    )

    (market,) = told["markets"]
    assert told["transport"] == transport
    assert market["borrowers"] == 12
    assert 0 < market["total_us"]["p10"] <= market["total_us"]["median"]
    assert market["methods"][0] == "eth_getLogs"
    assert market["methods"][-1] == SEND
    assert market["requests"] == len(market["methods"])
    assert market["most_requests"] <= MOST_REQUESTS
    for floor in (market["floor_us"], market["floor_again_us"]):
        assert set(floor) == {*PARTS, "sum"}
        assert floor["sum"] == sum(floor[part] for part in PARTS) > 0


def test_a_far_node_costs_three_round_trips(capsys):
    """Logs with the reads, the pools with fees and clock, the simulation with nonce and block."""
    told = measured(capsys, "latency", "--samples", "3", "--borrowers", "12", "--delay-ms", "50")

    (market,) = told["markets"]
    assert market["round_trips"] == 3
    assert market["most_requests"] <= MOST_REQUESTS


def test_a_burst_is_in_few_transactions_that_all_land(capsys):
    """Thirty accounts in one block: each liquidated in the next."""
    told = measured(capsys, "burst", "--samples", "1")

    assert told["landed_in_the_next_block"] == [30]
    assert 1 < told["transactions"] < 30
    assert told["first_us"]["median"] <= told["last_us"]["median"]


@pytest.mark.parametrize("shape", ["equal", "spread"])
def test_a_crowd_of_accounts_lands_whole(capsys, shape):
    """All of a block's accounts leave at once, equal ones or not, and the next block has them."""
    (told,) = measured(
        *(capsys, "burst", "--accounts", "40", "--shape", shape),
        *("--gas-gwei", "5", "--block-mgas", "60"),
    )

    assert told["planned"] == 40
    assert told["landed"] == [40]
    assert told["skipped"] == {}
    assert told["best_bps"] >= 9_500
    assert 0 < told["alone"] <= told["first"] <= told["last"] <= told["handled"]


def test_another_protocol_is_measured_the_same_way(capsys):
    """Its accounts cross by the same steps of the price."""
    latency = measured(
        capsys, "latency", "--samples", "1", "--borrowers", "30", "--protocol", "morpho_blue"
    )
    burst = measured(capsys, "burst", "--samples", "1", "--protocol", "morpho_blue")

    (market,) = latency["markets"]
    assert latency["protocol"] == burst["protocol"] == "morpho_blue"
    assert market["methods"][-1] == SEND
    assert market["most_requests"] <= MOST_REQUESTS
    assert burst["landed_in_the_next_block"] == [30]


def test_the_table_is_for_people(capsys):
    """Without ``--json``: a table, and on demand the messages of the median sample."""
    assert bench.main(["latency", "--samples", "1", "--borrowers", "5", "--trace"]) == 0

    shown = capsys.readouterr().out
    assert "total / floor" in shown
    assert f"> {SEND}" in shown


def test_a_wrong_number_is_refused_in_one_line(capsys):
    """The stairs have a bottom: so many samples and no more."""
    with pytest.raises(SystemExit) as refused:
        bench.main(["latency", "--samples", "0"])

    assert refused.value.code == 2
    assert "from 1 to" in capsys.readouterr().err


def test_only_the_group_of_a_step_crosses_the_line():
    """Otherwise a sample would measure more than one account."""
    stairs = Stairs(borrowers=8, steps=3, width=2)
    on_stairs, others = stairs.accounts()[:6], stairs.accounts()[6:]

    def is_past(account, price):
        value = account.collateral["WETH"] * price * 8_250 // 10_000 // 10**18
        return value < account.debt["USDC"] * 100

    for step in range(3):
        past = [is_past(account, stairs.price(step)) for account in on_stairs]
        assert past == [place // 2 <= step for place in range(6)]
    assert len(others) == 2


def test_what_passed_is_counted_from_the_announcement_to_the_send():
    """Requests before it, and after the first transaction's bytes, are not the reaction's."""
    wire = Wire()
    for body in (b'{"method":"eth_early"}', b'[{"method":"eth_a"},{"method":"eth_b"}]'):
        wire.sent(body)
        wire.heard('{"method":"eth_subscription","params":{"result":{"number":"0x7"}}}')
    wire.sent(b'{"method":"%s"}' % SEND.encode())
    wire.sent(b'{"method":"eth_late"}')

    passed = wire.since_block(7)

    assert passed is not None
    assert passed.until_first_send().methods() == ["eth_a", "eth_b", SEND]
    assert wire.since_block(8) is None


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [(("--against", "nosuchrevision"), "there is no revision"), (("--delay-ms", "-1"), "from 0")],
)
def test_a_wrong_comparison_is_refused_in_one_line(capsys, arguments, reason):
    """Before anything is set up for it."""
    try:
        code = bench.main(["latency", *arguments])
    except SystemExit as refused:
        code = refused.code

    assert code == 2
    assert reason in capsys.readouterr().err
