"""Documents and events: each has a schema file, and what is printed is as its file says."""

import ast
import asyncio
import json
import re
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

import keeper
from keeper.cli import root
from keeper.cli.documents import dollars, with_dollars
from keeper.domain.breaker import Breaker, OpenBreaker
from keeper.domain.head import Head
from keeper.storage import episodes
from keeper.storage.journal import Journal
from keeper.storage.paper import PaperLedger
from keeper.storage.places import file_of
from tests.support.schemas import FOLDER, KNOWN, check_document, checked, schema_of
from tests.support.scripted_submission import EXECUTOR, block_hash, plan
from tests.unit.audit.test_earnings import NOON, attempt, mined
from tests.unit.cli.test_breaker_command import SETTINGS
from tests.unit.cli.test_calls_command import GUARDIAN, told
from tests.unit.margin.story import GUARDIAN_HERE, Story, someone

CODE = Path(keeper.__file__).parent
CHANNEL = """
[[notify.channel]]
name = "bot"
kind = "webhook"
url = "http://127.0.0.1:1/hook"
secret = "a long random text"
"""


def named(folder):
    return {str(one.relative_to(FOLDER).with_suffix("")) for one in folder.rglob("*.json")}


def literals(pattern):
    """Every text that matches a pattern in the keeper's own code, the workshop aside."""
    code = [one for one in CODE.rglob("*.py") if "devnet" not in one.parts]
    return {found for one in code for found in re.findall(pattern, one.read_text())}


def calls_of(name):
    for file in (CODE / "cli").glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == name:
                yield file.name, node


@pytest.mark.slow
def test_every_document_names_a_schema_that_there_is_and_every_schema_has_its_document():
    """A command that prints JSON without one would be outside of the contract."""
    used = set()
    for file, node in calls_of("print_json"):
        assert len(node.args) == 2, f"{file}:{node.lineno}: print_json without a schema"
        used.add(ast.literal_eval(node.args[1]))

    documents = {one for one in named(FOLDER) if not one.startswith("events/")}
    assert documents - used == {"error"}
    assert used <= documents


def test_every_event_has_a_schema():
    """By the literals of the code: an event of another name would be held against nothing."""
    told_of = literals(r'"event": "([a-z_]+)"')
    told_of |= {"included", "final", "reopened", "quarantine", "warning", "rebuilt"}

    assert {f"events/{one}" for one in told_of} == {
        one for one in named(FOLDER) if one.startswith("events/")
    }


@pytest.mark.parametrize("name", sorted(named(FOLDER)))
def test_the_files_are_what_their_names_say_in_the_words_that_are_checked(name):
    """A keyword that the tests pass over would hold nothing."""
    schema = schema_of(name)
    kind = f"event/{Path(name).name}" if name.startswith("events/") else name

    assert schema["$id"] == f"keeper/{kind}/v1"
    assert schema["title"]
    if not name.startswith("events/"):
        assert {"schema", "warnings", "errors"} <= set(schema["required"])
    for node in nodes(schema):
        if "type" in node or "$ref" in node:
            assert node.keys() <= KNOWN, node.keys() - KNOWN


def nodes(value):
    if isinstance(value, dict):
        yield value
        for name, one in value.items():
            if name == "properties":
                yield from (found for each in one.values() for found in nodes(each))
            else:
                yield from nodes(one)
    elif isinstance(value, list):
        for one in value:
            yield from nodes(one)


def test_the_files_are_packed():
    """Whoever installs the wheel has the contract beside the program."""
    project = tomllib.loads((CODE.parent / "pyproject.toml").read_text())

    assert "**/*.json" in project["tool"]["setuptools"]["package-data"]["keeper"]
    assert (FOLDER / "__init__.py").exists()


def test_the_checker_finds_what_is_missing_too_much_and_wrong():
    """A check that lets everything through would pass all of these tests."""
    good = {"address": "0x" + "a" * 40, "schema": "keeper/executor-deploy/v1"} | {
        "warnings": [],
        "errors": [],
    }
    check_document(good)
    for bad in (
        {**good, "address": "0x1"},
        {**good, "more": 1},
        {name: one for name, one in good.items() if name != "warnings"},
        {**good, "errors": ["text"]},
    ):
        with pytest.raises(AssertionError):
            check_document(bad)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with a live journal, a record of a story, messages, paper; and no keeper."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "keeper.toml").write_text(SETTINGS + GUARDIAN + CHANNEL)
    journal = Journal.open(tmp_path / "j.sqlite", chain_id=1, sender=EXECUTOR)
    story = Story(debts={1: 1_600, 2: 1_700}, settings=GUARDIAN_HERE)
    for price in (2_600, *[2_050] * 4):
        facts, found = story.looked(price)
        journal.database.write_now(keep, found, facts)
    one = mined(plan(0, native_usd_e8=2_000 * 10**8))
    bound = (attempt(tried="0x" + "ab" * 32),)
    asyncio.run(journal.record([type(one)(nonce=0, batch=one.batch, attempts=bound)]))
    included = {"hash": "0x" + "ab" * 32, "block_hash": "0x" + "05" * 32}
    asyncio.run(journal.include(0, replace(one.inclusion, **included)))
    held = OpenBreaker(name=Breaker.REVERTS, detail="five", block_number=7, timestamp=1)
    asyncio.run(journal.open_breaker(held))
    journal.close()
    told(tmp_path, "sent", "dead", "waiting")
    dry = Journal.open(file_of(tmp_path / "j.sqlite", "dry-run"), chain_id=1, sender=None)
    head = Head(
        number=5, hash=block_hash(5), parent_hash=block_hash(4), timestamp=NOON, base_fee=1,
        gas_limit=1, gas_used=1,
    )  # fmt: skip
    asyncio.run(PaperLedger(dry.database).add([plan(0)], head))
    dry.close()
    return tmp_path


def keep(connection, found, facts):
    episodes.keep(connection, found.state, found.changes, facts, {})


COMMANDS = [
    (["calls"], 0),
    (["calls", "ack", someone(1)], 0),
    (["tx", "list"], 0),
    (["tx", "show", "0"], 0),
    (["breaker", "list"], 0),
    (["breaker", "pause"], 0),
    (["config", "show"], 0),
    (["config", "check"], 0),
    (["audit", "verify"], 0),
    (["audit", "head"], 0),
    (["audit", "prune", "--keep-days", "1"], 0),
    (["report", "fairness"], 0),
    (["report", "profit", "--offline"], 0),
    (["report", "profit", "--record", "dry-run", "--by", "day"], 0),
    (["notify", "list"], 0),
    (["notify", "retry"], 0),
    (["notify", "subscriptions"], 0),
    (["notify", "test"], 3),
    (["explain", someone(1), "--recorded"], 0),
    (["replay", "--all"], 0),
]


@pytest.mark.io
@pytest.mark.parametrize(("arguments", "code"), COMMANDS, ids=str)
def test_what_a_command_prints_is_as_its_schema_says(folder, capsys, arguments, code):
    """One document on stdout, with the keys that scripts rely on, all of them listed."""
    assert root.run([*arguments, "--json"]) == code

    out = capsys.readouterr().out
    assert out.count("\n") == 1
    check_document(json.loads(out))


ERRORS = [
    (["calls", "ack", "0x9999"], 2, "config"),
    (["calls", "--dry-run", "--observe"], 2, "config"),
    (["tx", "show", "77"], 2, "config"),
    (["tx", "bump", "0"], 3, "environment"),
    (["calls", "--config", "none.toml"], 2, "config"),
    (["calls", "--nonsense"], 2, "usage"),
    (["nonsense"], 2, "usage"),
    (["calls", "--observe"], 4, "journal"),
    (["config", "show", "--set", "policy.min_profit_usd=x"], 2, "config"),
]


@pytest.mark.io
@pytest.mark.parametrize(("arguments", "code", "kind"), ERRORS, ids=str)
def test_an_error_is_a_document_too_where_json_was_asked_for(folder, capsys, arguments, code, kind):
    """One on stdout, the lines for people on stderr, the exit code beside both."""
    assert root.run([*arguments, "--json"]) == code

    told_ = capsys.readouterr()
    document = check_document(json.loads(told_.out))
    assert (document["error"]["code"], document["error"]["exit_code"]) == (kind, code)
    assert document["error"]["message"] in told_.err
    assert document["errors"]
    assert told_.err.startswith(f"error[{kind}]: ")


@pytest.mark.io
def test_every_mistake_in_the_settings_is_in_the_error(folder, capsys):
    """A script that mends one of five by five runs is not helped."""
    text = (folder / "keeper.toml").read_text()
    (folder / "keeper.toml").write_text(text.replace("id = 1", "id = -1\nnonsense = 2"))

    assert root.run(["calls", "--json"]) == 2

    document = check_document(json.loads(capsys.readouterr().out))
    assert len(document["errors"]) == 2
    assert {one["message"].split(":")[0] for one in document["errors"]} == {
        "chain.id",
        "chain.nonsense",
    }


@pytest.mark.io
def test_a_runs_error_is_its_last_event(folder, capsys):
    """Whoever reads line by line learns why there are no more."""
    assert root.run(["run", "--json", "--dry-run", "--observe"]) == 2

    event = checked(json.loads(capsys.readouterr().out), "events/error")
    assert (event["event"], event["exit_code"]) == ("error", 2)


@pytest.mark.io
def test_a_document_that_is_there_already_is_not_followed_by_an_error(folder, capsys):
    """Two documents on stdout are none for `json.loads`."""
    assert root.run(["notify", "test", "--json"]) == 3

    assert capsys.readouterr().out.count("\n") == 1


def test_dollars_are_exact_beside_what_counts_them_in_1e_8():
    """One scale: the smallest unit as an integer, dollars as dollars; the record as it stands."""
    document = {
        "debt_usd_e8": "-250000000001",
        "rows": [{"gain_usd_e8": None, "body": {"debt_usd_e8": "1"}}],
    }

    assert with_dollars(document) == {
        "debt_usd_e8": "-250000000001",
        "debt_usd": "-2500.00000001",
        "rows": [{"gain_usd_e8": None, "gain_usd": None, "body": {"debt_usd_e8": "1"}}],
    }
    assert [dollars(one) for one in (0, 10**8, 5, "unknown")] == ["0", "1", "0.00000005", None]
