"""Every command's errors are documents under ``--json``: scripts read no prose."""

import json

import pytest

from keeper.cli import lazy, root
from tests.support.schemas import check_document, checked


def leaves(command, path):
    """Every command that does something, with its place in the tree."""
    for name, child in getattr(command, "commands", {}).items():
        yield from leaves(child, (*path, name))
    if not hasattr(command, "commands"):
        yield path, command


def takes_json(command):
    return any("--json" in option.opts for option in command.params)


COMMANDS = [
    (path, command)
    for name in lazy.COMMANDS
    for path, command in leaves(lazy.command_named(name), (name,))
    if takes_json(command)
]
NAMES = [" ".join(path) for path, _ in COMMANDS]


def failed(capsys, monkeypatch, tmp_path, *arguments):
    """Run a command in an empty folder; return its exit code and what it printed."""
    monkeypatch.chdir(tmp_path)
    code = root.run([*arguments, "--json"])
    return code, capsys.readouterr()


def failure_of(path, document):
    """The failure that a document tells; ``run`` prints events, an error among them."""
    if path == ("run",):
        return checked(document, "events/error")
    return checked(document, "error")["error"]


def test_most_commands_are_tried():
    """A command tree that is read wrongly would make the others vacuous."""
    assert len(NAMES) >= 25
    assert {"scan", "run", "report profit", "tx list", "audit book"} <= set(NAMES)


@pytest.mark.slow
@pytest.mark.parametrize(("path", "command"), COMMANDS, ids=NAMES)
def test_a_wrong_option_is_a_document(path, command, capsys, monkeypatch, tmp_path):
    """Whoever mistypes an option in a script sees why in what the script reads."""
    del command
    code, printed = failed(capsys, monkeypatch, tmp_path, *path, "--no-such-option")

    (line,) = printed.out.splitlines() or [""]
    failure = failure_of(path, json.loads(line))
    assert code == failure["exit_code"] == 2
    assert failure["code"] == "usage"
    assert "--no-such-option" in failure["message"]


NEEDY = [(path, command) for path, command in COMMANDS if path[0] != "devnet"]
"""Commands that need settings at least; a local chain comes up without."""


@pytest.mark.slow
@pytest.mark.parametrize(("path", "command"), NEEDY, ids=[" ".join(path) for path, _ in NEEDY])
def test_what_cannot_be_done_is_a_document(path, command, capsys, monkeypatch, tmp_path):
    """Without settings, key or arguments: one document, of the code that the process ends with."""
    del command
    code, printed = failed(capsys, monkeypatch, tmp_path, *path)

    (document,) = [json.loads(line) for line in printed.out.splitlines()]
    if document.get("schema") == "keeper/checks/v1":  # the doctor says it as one of its checks
        assert (code > 0, document["ok"]) == (True, False)
    elif code:
        assert failure_of(path, document)["exit_code"] == code
    else:
        check_document(document)
    assert "Traceback" not in printed.err
