"""What keeps the code readable by its mere shape, as far as no linter looks."""

import ast
from pathlib import Path

import keeper

ROOT = Path(keeper.__file__).parent


def test_every_file_can_be_read_in_one_sitting():
    """A file of more than four hundred lines is two files."""
    long = {
        str(file.relative_to(ROOT)): count
        for file in sorted(ROOT.rglob("*.py"))
        if (count := len(file.read_text().splitlines())) > 400
    }

    assert long == {}


def test_a_submitter_on_a_real_chain_sends_with_what_the_node_sends_with():
    """A world with another sender would test bytes on a way that production does not take."""
    chain = Path(__file__).parents[1] / "chain"
    senders = {
        (path.name, ast.unparse(keyword.value.func))
        for path in (*chain.rglob("*.py"), ROOT / "app.py")
        for call in ast.walk(ast.parse(path.read_text()))
        if isinstance(call, ast.Call) and ast.unparse(call.func) == "NodeSubmitter"
        for keyword in call.keywords
        if keyword.arg == "node" and isinstance(keyword.value, ast.Call)
    }

    assert len(senders) > 1
    assert len({kind for _, kind in senders}) == 1
