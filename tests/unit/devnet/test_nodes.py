"""The campaign's node misbehaves as it says, in the one form of request that it is told."""

import dataclasses

import pytest

from keeper.devnet.nodes import behaviours
from keeper.devnet.nodes.__main__ import line_of
from keeper.devnet.nodes.behaviours import Behaviour, Misbehaviour, Trouble, notified
from keeper.devnet.nodes.campaign import Verdict
from keeper.devnet.nodes.cells import Cell, bundled, choose, plan_cells, plan_second_ways
from keeper.devnet.nodes.crash import ALONE, SECOND, Seen
from keeper.devnet.nodes.forms import BATCH, OTHER_FIELDS, READ_FIELDS, block_of, form_of
from keeper.domain.errors import ConfigError

HASH = "0x" + "ab" * 32
BY_HASH = {"blockHash": HASH, "requireCanonical": True}
CALL = {"to": HASH[:42], "data": "0x"}


def request(method, *params):
    return {"jsonrpc": "2.0", "id": 7, "method": method, "params": list(params)}


def trouble(behaviour, form="eth_call by hash", name=""):
    return Trouble(form=form, behaviour=behaviour, name=name)


@pytest.mark.parametrize(
    ("asked", "form", "block"),
    [
        (request("eth_call", CALL, BY_HASH), "eth_call by hash", HASH),
        (request("eth_call", CALL, "0x10"), "eth_call by number", "0x10"),
        (request("eth_call", CALL, BY_HASH, {}), "eth_call with overrides", HASH),
        (request("eth_call", {"data": "0x"}, BY_HASH), "eth_call without a contract", HASH),
        (request("eth_getLogs", {"blockHash": HASH}), "eth_getLogs by hash", HASH),
        (
            request("eth_getLogs", {"fromBlock": "0x1", "toBlock": "0x2"}),
            "eth_getLogs by range",
            "0x2",
        ),
        (request("eth_getBlockByNumber", "latest"), "eth_getBlockByNumber latest", None),
        (
            request("eth_getTransactionCount", CALL, "pending"),
            "eth_getTransactionCount pending",
            None,
        ),
        (request("eth_getBlockByHash", HASH), "eth_getBlockByHash", HASH),
        (request("eth_subscribe", "newHeads"), "eth_subscribe newHeads", None),
        (request("eth_feeHistory", "0x1", "latest", []), "eth_feeHistory", None),
    ],
)
def test_a_form_is_a_method_and_how_it_names_its_block(asked, form, block):
    """A node that lacks one form has the others, so each is a row of the campaign."""
    assert (form_of(asked), block_of(asked)) == (form, block)


def answer_of(misbehaviour, asked, result):
    """Return what a node with these troubles answers."""
    found = misbehaviour.active(form_of(asked))
    answer = {"jsonrpc": "2.0", "id": asked["id"], "result": result}
    if found is None:
        return answer
    return misbehaviour.refused(found, asked) or misbehaviour.changed(found, asked, answer)


@pytest.mark.parametrize(
    ("behaviour", "result", "answered"),
    [
        (Behaviour.NULL, "0x12", None),
        (Behaviour.EMPTY, "0x12", "0x"),
        (Behaviour.EMPTY, [1, 2], []),
        (Behaviour.EMPTY, {"a": 1}, {}),
    ],
)
def test_an_answer_is_null_or_empty(behaviour, result, answered):
    """The right type with nothing in it, which a careless reader takes for the truth."""
    spoilt = Misbehaviour(troubles=(trouble(behaviour),))

    assert answer_of(spoilt, request("eth_call", CALL, BY_HASH), result)["result"] == answered
    assert answer_of(spoilt, request("eth_call", CALL, "0x1"), result)["result"] == result


def test_a_field_is_missing_in_each_object():
    """One that the keeper reads, or all that it does not read at once."""
    logs = [{"data": "0x", "blockTimestamp": "0x1"}, {"data": "0x1", "blockTimestamp": "0x1"}]
    asked = request("eth_getLogs", {"blockHash": HASH})

    def without(name):
        cut = trouble(Behaviour.MISSING, "eth_getLogs by hash", name)
        return answer_of(Misbehaviour(troubles=(cut,)), asked, logs)["result"]

    assert without("data") == [{"blockTimestamp": "0x1"}, {"blockTimestamp": "0x1"}]
    assert without(OTHER_FIELDS) == [{"data": "0x"}, {"data": "0x1"}]
    assert "data" in READ_FIELDS


def test_a_late_node_does_not_have_a_block_until_then(monkeypatch):
    """From when it first heard of it; the receipt of a transaction comes as late."""
    now = [100.0]
    monkeypatch.setattr(behaviours.time, "monotonic", lambda: now[0])
    late = Misbehaviour(
        troubles=(
            trouble(Behaviour.LATE_50_MS),
            trouble(Behaviour.LATE_50_MS, "eth_getTransactionReceipt"),
        )
    )
    call, receipt = (
        request("eth_call", CALL, BY_HASH),
        request("eth_getTransactionReceipt", HASH[::-1]),
    )

    assert answer_of(late, call, "0x1")["error"]["message"] == "header not found"
    assert answer_of(late, receipt, {"status": "0x1"})["result"] is None
    now[0] += 0.051
    assert answer_of(late, call, "0x1")["result"] == "0x1"
    assert answer_of(late, receipt, {"status": "0x1"})["result"] == {"status": "0x1"}


def test_a_late_node_has_what_was_there_before():
    """Only blocks that come while it is looked at are late."""
    late = Misbehaviour(troubles=(trouble(Behaviour.LATE_1_S, "eth_call by number"),), old_height=5)
    old, new = (request("eth_call", {"to": "0xab"}, hex(number)) for number in (5, 6))

    assert answer_of(late, old, "0x1")["result"] == "0x1"
    assert "error" in answer_of(late, new, "0x1")


def test_a_method_disappears_in_the_crash_and_one_in_twenty_fails_first_then():
    """Both begin again with the crash, so that it meets them."""
    asked = request("eth_call", CALL, BY_HASH)
    gone = Misbehaviour(troubles=(trouble(Behaviour.DISAPPEARS),))
    before = answer_of(gone, asked, "0x1")
    gone.crash()
    rare = Misbehaviour(troubles=(trouble(Behaviour.ONE_IN_TWENTY),))
    failures = ["error" in answer_of(rare, asked, "0x1") for _ in range(41)]

    assert "result" in before
    assert "error" in answer_of(gone, asked, "0x1")
    assert [place for place, failed in enumerate(failures) if failed] == [0, 20, 40]


def test_heads_that_are_told_go_missing_or_lack_a_field():
    """The behaviours of what a subscription sends unasked."""
    told = {"method": "eth_subscription", "params": {"result": {"hash": HASH, "number": "0x1"}}}

    assert notified(trouble(Behaviour.DISAPPEARS), told) is None
    assert notified(trouble(Behaviour.NULL), told)["params"]["result"] is None
    cut = notified(trouble(Behaviour.MISSING, name="hash"), told)
    assert cut["params"]["result"] == {"number": "0x1"}


def test_each_form_has_each_behaviour_with_one_endpoint_and_with_two():
    """The forms are those of the recorded run: a new method gets its cells by itself."""
    cells = plan_cells({"eth_foo": {"hash", "size"}}, ["eth_foo", "eth_bar latest"])
    found = {(str(cell.trouble), cell.arrangement.second) for cell in cells}

    for second in (False, True):
        for behaviour in set(Behaviour) - {Behaviour.MISSING}:
            assert (f"eth_bar latest:{behaviour}", second) in found
        assert ("eth_foo:missing hash", second) in found
        assert (f"eth_foo:missing {OTHER_FIELDS}", second) in found
    assert not [name for name, _ in found if name.startswith("eth_bar latest:missing")]


def test_cells_are_chosen_by_a_part_of_their_name():
    """``--cell`` with what names none is a mistake, and says what there is."""
    cells = plan_cells({}, ["eth_foo", "eth_bar latest", BATCH])

    assert {cell.trouble.form for cell in choose(cells, "eth_bar:null")} == {"eth_bar latest"}
    with pytest.raises(ConfigError, match="no cell eth_baz:null"):
        choose(cells, "eth_baz:null")


def test_a_second_way_is_tried_where_the_first_is_refused():
    """Its cells have both troubles, since the keeper asks for it only then."""
    (first,) = (
        cell
        for cell in plan_cells({}, ["eth_foo"])
        if cell.trouble.behaviour is Behaviour.REFUSED and cell.arrangement == ALONE
    )

    cells = plan_second_ways(first, ["eth_bar"], {})

    assert {cell.troubles[0] for cell in cells} == {first.trouble}
    assert {cell.trouble.form for cell in cells} == {"eth_bar"}


def test_mild_troubles_of_unlike_forms_share_a_crash():
    """Every cell has its crash; no crash has two arrangements, behaviours or forms twice."""
    forms = [f"eth_{name} {block}" for name in "abcd" for block in ("by hash", "latest")]
    cells = plan_cells({form: {"hash", "size"} for form in forms}, forms)
    bundles = bundled(cells)

    assert sorted(cell.name for bundle in bundles for cell in bundle) == sorted(
        cell.name for cell in cells
    )
    for bundle in bundles:
        methods = {cell.trouble.form.partition(" ")[0] for cell in bundle}
        assert len(methods) == len(bundle)
        assert len({(cell.arrangement, cell.trouble.behaviour) for cell in bundle}) == 1
        assert len(bundle) == 1 or bundle[0].trouble.behaviour not in (
            Behaviour.REFUSED,
            Behaviour.NULL,
            Behaviour.EMPTY,
            Behaviour.TRUNCATED,
            Behaviour.HUGE,
            Behaviour.DISAPPEARS,
        )
        assert len(bundle) == 1 or {cell.trouble.name for cell in bundle} <= {"", OTHER_FIELDS}
    assert max(len(bundle) for bundle in bundles) == 4


@pytest.mark.parametrize(
    ("sent", "met", "exit_code", "proved"),
    [(2, 1, None, True), (2, 0, None, False), (1, 1, None, False), (2, 1, 3, False)],
)
def test_a_shared_crash_proves_a_cell_that_was_met_and_cost_nothing(sent, met, exit_code, proved):
    """What hid behind another trouble, or was said only, is run alone."""
    tested = trouble(Behaviour.LATE_50_MS)
    clean = Seen(liquidated=frozenset({"a", "b"}))
    seen = dataclasses.replace(Seen(), liquidated=frozenset(["a", "b"][:sent]), exit_code=exit_code)
    seen.met[tested] = met
    seen.met[trouble(Behaviour.LATE_50_MS, "eth_other")] = 5
    cell = Cell(arrangement=ALONE, troubles=(tested,))

    assert Verdict(cell=cell, seen=seen, clean=clean, beside=1).proved is proved


def test_the_block_after_which_the_method_was_named_first_is_told():
    """Other reasons before it do not count."""
    cell = Cell(arrangement=ALONE, troubles=(trouble(Behaviour.NULL),))
    said = [
        (1, "work: rpc_malformed"),
        (2, "endpoint: eth_call is null"),
        (3, "endpoint: eth_call"),
    ]

    assert Verdict(cell=cell, seen=Seen(said=said), clean=Seen()).blocks_until_said == 2
    assert Verdict(cell=cell, seen=Seen(), clean=Seen()).blocks_until_said is None


def test_a_line_says_when_the_trouble_was_never_met():
    """That all was sent proves nothing then."""
    cell = Cell(arrangement=ALONE, troubles=(trouble(Behaviour.NULL),))
    unmet, met = Seen(), Seen()
    met.met[cell.trouble] = 1

    assert "never met" in line_of(Verdict(cell=cell, seen=unmet, clean=Seen()))
    assert "never met" not in line_of(Verdict(cell=cell, seen=met, clean=Seen()))


def test_what_a_trouble_did_is_counted_apart():
    """A late answer without a block counts, too."""
    late, null = trouble(Behaviour.LATE_50_MS, "eth_chainId"), trouble(Behaviour.NULL)
    both = Misbehaviour(troubles=(late, null))
    both.delay(late, request("eth_chainId"))
    answer_of(both, request("eth_call", CALL, BY_HASH), "0x1")
    answer_of(both, request("eth_call", CALL, BY_HASH), "0x1")

    assert both.met == {late: 1, null: 2}


@pytest.mark.parametrize(
    ("sent", "second", "reasons", "doctor", "passed"),
    [
        (2, False, {}, (), True),
        (2, True, {}, (), True),
        (1, False, {}, (), False),
        (1, False, {"node": "eth_call is refused"}, (), False),
        (1, False, {}, ("endpoint: eth_call is refused",), False),
        (1, False, {"node": "eth_call is refused"}, ("endpoint: eth_call is refused",), True),
        (1, False, {"work": "rpc_refused"}, ("endpoint: no",), False),
        (1, True, {"node": "eth_call is refused"}, ("endpoint: eth_call is refused",), False),
    ],
)
def test_a_cell_passes_when_all_is_sent_or_both_say_why_not(sent, second, reasons, doctor, passed):
    """And with a good second endpoint there is no excuse."""
    clean = Seen(liquidated=frozenset({"a", "b"}))
    seen = dataclasses.replace(
        Seen(), liquidated=frozenset(["a", "b"][:sent]), reasons=dict(reasons), doctor=doctor
    )
    cell = Cell(arrangement=SECOND if second else ALONE, troubles=(trouble(Behaviour.REFUSED),))

    assert Verdict(cell=cell, seen=seen, clean=clean).passed is passed
