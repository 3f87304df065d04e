"""
A promise without its code: what is taken away, and the tests that must fail then.

The place is a comment in the code, ``# mutation: G1 name`` (``//`` in Solidity): at the end of the
line that it means, or alone on the line before. A change speaks of the marked code by its shape,
so that neither a rename nor a move of the file leaves a mutation behind.
"""

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Protocol

SEARCHED = (("keeper", "*.py"), ("contracts", "*.sol"), ("scripts", "*"))
"""Where code may be marked: folder, and which files of it."""

_MARKER = re.compile(r"(?:#|//) mutation: ([GF]\d+ [\w-]+)$", re.MULTILINE)
_TEST = re.compile(r"^(?:async )?def (test_\w+)\(", re.MULTILINE)
_STEP = re.compile(r"(\w+)(?:\[(-?\d+)\])?")


class Change(Protocol):
    """How a marked place is changed: the text of a file with its marked lines replaced."""

    def applied(self, marked: "Marked") -> str:
        """Return the file's new text; LookupError where the marked code has another shape."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutation:
    """
    One guarantee without its code: each marked place is changed as it says.

    Each of ``tests``, named without their files, must pass before and fail after.
    """

    guarantee: str
    what: str
    changes: Mapping[str, Change]
    tests: tuple[str, ...]


@dataclass(frozen=True)
class Marked:
    """A marker's place: the file, its text, and the number of the line that is meant."""

    path: Path
    text: str
    name: str
    line: int

    @cached_property
    def code(self) -> str:
        """The line that is meant."""
        return self.text.split("\n")[self.line - 1]

    def with_line(self, code: str) -> str:
        """Return the text with another line in this one's place."""
        lines = self.text.split("\n")
        lines[self.line - 1] = code
        return "\n".join(lines)

    @cached_property
    def node(self) -> ast.AST:
        """The outermost statement that begins on the line, or the last expression that does."""
        begun = [
            node
            for node in ast.walk(ast.parse(self.text))
            if getattr(node, "lineno", None) == self.line
        ]
        for kind in (ast.stmt, ast.ExceptHandler, ast.keyword):
            for node in begun:
                if isinstance(node, kind):
                    return node
        outer = [node for node in begun if not self._is_within_another(node, begun)]
        if not outer:
            raise LookupError(f"no code begins at {self.name}")
        return max(outer, key=lambda node: node.col_offset)

    def _is_within_another(self, node: ast.AST, others: list[ast.AST]) -> bool:
        return any(node is not one and node in ast.walk(one) for one in others)

    @cached_property
    def content(self) -> ast.AST:
        """What a change means: a condition, a value, or the marked expression itself."""
        node = self.node
        if isinstance(node, ast.With | ast.AsyncWith):
            return node.items[0].context_expr
        for field in ("test", "value", "type"):
            if not isinstance(node, ast.expr) and isinstance(getattr(node, field, None), ast.expr):
                return getattr(node, field)
        return node

    def part(self, path: str, of: ast.AST | None = None) -> ast.AST:
        """Return a part of the content, by a path such as ``args[1].left``."""
        node = self.content if of is None else of
        for step in filter(None, path.split(".")):
            field, place = _STEP.fullmatch(step).groups()
            try:
                node = getattr(node, field)
                node = node if place is None else node[int(place)]
            except (AttributeError, IndexError, TypeError) as error:
                raise LookupError(f"no {path} in {self.name}") from error
        return node

    def source(self, node: ast.AST) -> str:
        """Return a node's text."""
        first, last = self._span(node)
        return self.text.encode()[first:last].decode()

    def replaced(self, node: ast.AST, by: str) -> str:
        """Return the text with something else in a node's place."""
        first, last = self._span(node)
        encoded = self.text.encode()
        return (encoded[:first] + by.encode() + encoded[last:]).decode()

    def _span(self, node: ast.AST) -> tuple[int, int]:
        lines = self.text.encode().split(b"\n")
        starts = [0]
        for line in lines:
            starts.append(starts[-1] + len(line) + 1)
        first = starts[node.lineno - 1] + node.col_offset
        return first, starts[node.end_lineno - 1] + node.end_col_offset

    @property
    def parameter(self) -> str:
        """The name of the first argument, beside the object, of the function around."""
        around = [
            node
            for node in ast.walk(ast.parse(self.text))
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            and node.lineno <= self.line <= node.end_lineno
        ]
        names = [one.arg for one in around[-1].args.args if one.arg != "self"]
        return names[0]


@dataclass(frozen=True, slots=True)
class Delete:
    """The marked statement, with all that is in it, or the line of another language."""

    def applied(self, marked: Marked) -> str:
        """Return the text without it."""
        if marked.path.suffix != ".py":
            return marked.with_line("")
        return marked.replaced(marked.node, "pass")


@dataclass(frozen=True, slots=True)
class Hold:
    """The marked condition holds always, or never."""

    value: bool

    def applied(self, marked: Marked) -> str:
        """Return the text with a constant for the condition."""
        if marked.path.suffix != ".py":
            changed, count = re.subn(
                r"if \((?:[^()]|\((?:[^()]|\([^()]*\))*\))*\)",
                f"if ({str(self.value).lower()})",
                marked.code,
            )
            if count != 1:
                raise LookupError(f"no condition at {marked.name}")
            return marked.with_line(changed)
        content = marked.content
        if isinstance(content, ast.IfExp):
            content = content.test
        return marked.replaced(content, str(self.value))


@dataclass(frozen=True, slots=True)
class Become:
    """
    The marked value, or its part ``at``, becomes an expression that names nothing of ours.

    ``{old}`` stands for what it was, ``{parameter}`` for the function's first argument.
    """

    text: str
    at: str = ""

    def applied(self, marked: Marked) -> str:
        """Return the text with the expression."""
        node = marked.part(self.at)
        new = self.text.replace("{old}", marked.source(node))
        if "{parameter}" in new:
            new = new.replace("{parameter}", marked.parameter)
        return marked.replaced(node, new)


@dataclass(frozen=True, slots=True)
class Keep:
    """Of the marked value, or of its part ``at``, one part is kept."""

    path: str
    at: str = ""

    def applied(self, marked: Marked) -> str:
        """Return the text with the part alone."""
        whole = marked.part(self.at)
        return marked.replaced(whole, marked.source(marked.part(self.path, whole)))


@dataclass(frozen=True, slots=True)
class Copy:
    """The marked code becomes what stands at another marked place of the same file."""

    place: str

    def applied(self, marked: Marked) -> str:
        """Return the text with the other place's code here, too."""
        other = next(found_in(marked.path, marked.text, self.place))
        return marked.replaced(marked.content, other.source(other.content))


@dataclass(frozen=True, slots=True)
class Twice:
    """The marked statement is done twice."""

    def applied(self, marked: Marked) -> str:
        """Return the text with the statement repeated."""
        code = marked.source(marked.node)
        between = "\n" + " " * marked.node.col_offset
        return marked.replaced(marked.node, code + between + code)


@dataclass(frozen=True, slots=True)
class Write:
    """In a language that is not Python, words of that language on the marked line change."""

    pattern: str
    text: str

    def applied(self, marked: Marked) -> str:
        """Return the text with the words changed, once."""
        changed, count = re.subn(self.pattern, self.text, marked.code)
        if count != 1:
            raise LookupError(f"not once {self.pattern} at {marked.name}")
        return marked.with_line(changed)


NEVER = Hold(value=False)
ALWAYS = Hold(value=True)


def found_in(path: Path, text: str, name: str = "") -> Iterator[Marked]:
    """Yield the marked places of a text, of one name or of all."""
    for found in _MARKER.finditer(text):
        if name in ("", found[1]):
            line = text.count("\n", 0, found.start()) + 1
            alone = not text[text.rfind("\n", 0, found.start()) + 1 : found.start()].strip()
            yield Marked(path, text, found[1], line + alone)


def marked_places(tree: Path) -> dict[str, list[Marked]]:
    """Return all marked places of a tree by their names."""
    places: dict[str, list[Marked]] = {}
    for folder, pattern in SEARCHED:
        for path in sorted((tree / folder).rglob(pattern)):
            if path.is_file() and "mutation: " in (text := path.read_text()):
                for marked in found_in(path, text):
                    places.setdefault(marked.name, []).append(marked)
    return places


@cache
def files_of_tests(tree: Path) -> dict[str, list[Path]]:
    """Return in which files of a tree there is a test of a name."""
    files: dict[str, list[Path]] = {}
    for path in sorted((tree / "tests").rglob("test_*.py")):
        for name in _TEST.findall(path.read_text()):
            files.setdefault(name, []).append(path.relative_to(tree))
    return files


def mutated(mutation: Mutation, places: Mapping[str, list[Marked]]) -> dict[Path, str]:
    """
    Return the new texts of the files that a mutation changes.

    Raises:
        LookupError: a place is not marked, is marked twice, or has another shape.
    """
    texts: dict[Path, str] = {}
    for name, change in mutation.changes.items():
        if len(marks := places.get(name, [])) != 1:
            raise LookupError(f"{name} is marked {len(marks)} times")
        path = marks[0].path
        text = texts.get(path, marks[0].text)
        texts[path] = change.applied(next(found_in(path, text, name)))
    return texts
