"""What scripts and people read from stdout."""

import json

from keeper.cli import output

ACCOUNT = "0x" + "Ab" * 20


def test_json_keeps_big_numbers_and_is_one_line(capsys):
    """One document, one line: `jq` and `while read` both work."""
    output.print_json({"wei": str(10**24), "name": "Ünï"})

    out = capsys.readouterr().out
    assert out.count("\n") == 1
    assert json.loads(out) == {"wei": str(10**24), "name": "Ünï"}


def test_a_piped_table_cuts_nothing(capsys, monkeypatch):
    """A cut address is a wrong address, whatever COLUMNS says."""
    monkeypatch.setenv("COLUMNS", "40")
    output.print_table(["account", "token", "factor"], [[ACCOUNT, ACCOUNT, "1.02"]] * 2)

    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert lines[1].split() == [ACCOUNT, ACCOUNT, "1.02"]


def test_a_tokens_name_is_text_and_nothing_else(capsys):
    """Anybody can call a token [red] or put an escape sequence into its symbol."""
    output.print_table(["token"], [["[bold red]X[/]"], ["a\x1b[31mb\nc"], [":smile:"]])

    shown = [line.rstrip() for line in capsys.readouterr().out.splitlines()[1:]]
    assert shown == ["[bold red]X[/]", "ab c", ":smile:"]


def test_a_narrow_terminal_gets_blocks_of_lines(capsys, monkeypatch):
    """Forty columns show whole addresses, one below the other."""
    monkeypatch.setattr(output, "available_width", lambda: 40)
    output.print_table(["account", "factor"], [[ACCOUNT, "1.02"]])

    assert capsys.readouterr().out == f"account: {ACCOUNT}\nfactor: 1.02\n"


def test_an_empty_table_is_its_head(capsys):
    """No row is a result, not an error."""
    output.print_table(["account", "factor"], [])

    assert capsys.readouterr().out.split() == ["account", "factor"]
