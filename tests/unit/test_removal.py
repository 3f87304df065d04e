"""A mutation finds its place by a marker and changes it by its shape, whatever it is called."""

import re
from pathlib import Path

import pytest

from tests.support.removal import (
    ALWAYS,
    NEVER,
    Become,
    Copy,
    Delete,
    Keep,
    Mutation,
    Twice,
    Write,
    found_in,
    mutated,
)

SOURCE = """
def pay(amount, cap, others):
    if amount > cap:  # mutation: G1 cap
        raise ValueError(
            amount
        )
    # mutation: G2 least
    total = min(amount, cap) + 1
    able = [
        one
        for one in others
        if one not in "é"  # mutation: G3 filter
    ]
    send(total)  # mutation: G4 send
    record(total)  # mutation: G5 record
    return choose(
        strict=True,  # mutation: G6 strict
        able=able if able else None,  # mutation: G7 choice
    )
"""
SOLIDITY = """
    if (cap(amount) < least) revert Low(); // mutation: G8 least
    ok := call(limit, 0) // mutation: G9 gas
"""


def change(name, how, source=SOURCE, file="pay.py"):
    """A source with one marked place changed."""
    path = Path(file)
    mutation = Mutation(guarantee="G1", what="", changes={name: how}, tests=())
    places = {}
    for marked in found_in(path, source):
        places.setdefault(marked.name, []).append(marked)
    return mutated(mutation, places)[path]


CASES = {
    "a statement goes": ("G1 cap", Delete(), "    pass\n    # mutation: G2"),
    "a condition never holds": ("G1 cap", NEVER, "if False:"),
    "a condition always holds": ("G1 cap", ALWAYS, "if True:"),
    "the line after a comment is meant": ("G2 least", Keep("left"), "total = min(amount, cap)\n"),
    "a part of a part is kept": ("G2 least", Keep("args[0]", at="left"), "total = amount + 1"),
    "a filter in its own line": ("G3 filter", ALWAYS, "        if True  #"),
    "a statement becomes another": (
        "G4 send",
        Copy("G5 record"),
        "    record(total)  # mutation: G4",
    ),
    "a statement is done twice": ("G4 send", Twice(), "    send(total)\n    send(total)"),
    "a part becomes a constant": ("G4 send", Become("0", at="args[0]"), "send(0)"),
    "an argument by its name": ("G6 strict", Become("False"), "strict=False,"),
    "a choice": ("G7 choice", ALWAYS, "able=able if True else None"),
    "the function's argument": ("G7 choice", Become("{parameter}"), "able=amount,"),
    "what it was": ("G2 least", Become("-({old})"), "total = -(min(amount, cap) + 1)"),
}


@pytest.mark.parametrize("case", CASES)
def test_a_change_is_made_at_its_marker(case):
    """Nothing else of the text changes."""
    name, how, new = CASES[case]
    changed = change(name, how)

    assert new in changed
    assert changed != SOURCE
    compile(changed, "pay.py", "exec")


@pytest.mark.parametrize("case", CASES)
def test_a_rename_changes_nothing_about_it(case):
    """A text to search for would not be there any more."""
    name, how, _ = CASES[case]
    renamed = re.sub(r"(?<!\d )\b(amount|total|others|one|send|record|choose)\b", r"x_\1", SOURCE)
    changed = change(name, how, renamed)

    assert changed != renamed
    compile(changed, "pay.py", "exec")


@pytest.mark.parametrize(
    ("name", "how", "new"),
    [
        ("G8 least", NEVER, "if (false) revert Low();"),
        ("G8 least", Delete(), "\n\n"),
        ("G9 gas", Write(r"call\(\w+,", "call(gas(),"), "call(gas(), 0)"),
    ],
)
def test_another_language_is_changed_by_the_line(name, how, new):
    """There is no parser of it here."""
    assert new in change(name, how, SOLIDITY, "Pay.sol")


@pytest.mark.parametrize(
    ("name", "how", "source"),
    [
        ("G9 gone", NEVER, SOURCE),
        ("G1 cap", NEVER, SOURCE + SOURCE),
        ("G4 send", Keep("left"), SOURCE),
        ("G4 send", Keep("args[3]"), SOURCE),
        ("G4 send", Become("0", at="keywords[0].value"), SOURCE),
    ],
)
def test_a_place_that_is_not_as_the_mutation_expects_is_an_error(name, how, source):
    """It would change something else, or nothing, and call that killed."""
    with pytest.raises(LookupError):
        change(name, how, source)
