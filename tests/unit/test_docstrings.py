"""Docstrings are plain: one statement, a noun for the subject, the terms of the field."""

import ast
import re
from pathlib import Path

import pytest

import keeper

ROOT = Path(keeper.__file__).parent
OPENERS = re.compile(
    r"(Who|Whom|Whose|Whoever|What|Whatever|How|Where|When|Why|Those|Nobody|Somebody|Everybody"
    r"|Anybody|Everyone)\b"
)
IDIOM = re.compile(
    r"\b(nobody|somebody|everybody|anybody|whoever|whom|whose|told|tells?|telling|takes? up"
    r"|taken up|so many|past the line|left alone|looked after|looks? after"
    r"|stands? (beside|between|for)|is thought of|got on|hand(s|ed)? over)\b",
    re.IGNORECASE,
)
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def faults(docstring):
    """Return what is wrong with a docstring."""
    wrong = []
    if ";" in docstring:
        wrong.append("two statements")
    if OPENERS.match(docstring):
        wrong.append("opens with a pronoun")
    if found := IDIOM.search(docstring):
        wrong.append(f"says {found.group()!r}")
    return wrong


def docstrings(source):
    """Yield each docstring of a source text with its line."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, DOCUMENTED) and (text := ast.get_docstring(node)):
            yield getattr(node, "lineno", 1), text


@pytest.mark.parametrize(
    ("docstring", "wrong"),
    [
        ("Return the fee; the tip is apart.", ["two statements"]),
        ("What a nonce may cost.", ["opens with a pronoun"]),
        ("Emit an event that nobody reads.", ["says 'nobody'"]),
        ("Return the highest fee of a nonce, in wei, rounded down.", []),
        ("Whole amount of a token.", []),
    ],
)
def test_a_docstring_that_breaks_a_rule_is_named(docstring, wrong):
    """The rules refuse what they are for, and nothing else."""
    assert faults(docstring) == wrong


@pytest.mark.slow
def test_every_docstring_of_the_keeper_is_plain():
    """Not one of them has two statements, a pronoun for its subject, or a private idiom."""
    found = {
        f"{file.relative_to(ROOT)}:{line}": wrong
        for file in sorted(ROOT.rglob("*.py"))
        if "versions" not in file.parts
        for line, text in docstrings(file.read_text())
        if (wrong := faults(text))
    }

    assert found == {}
