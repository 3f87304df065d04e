"""What a log line looks like and what never stands in it."""

import io
import json
import logging

import pytest

from keeper.observe.logging import configure

SECRET_URL = "https://node.example/v2/cAnArY"


@pytest.fixture
def lines():
    """Configure logging into memory; put the old handlers back afterwards."""
    root, ours = logging.getLogger(), logging.getLogger("keeper")
    before = (root.handlers[:], root.level, ours.level)
    stream = io.StringIO()

    def run(form="text", level="info"):
        configure(level=level, form=form, stream=stream)
        return lambda: stream.getvalue().splitlines()

    yield run
    logging.captureWarnings(capture=False)
    root.handlers[:], root.level = before[0], before[1]
    ours.setLevel(before[2])


def test_an_event_is_one_line_of_text(lines):
    """One verb, key=value, greppable."""
    read = lines()
    logging.getLogger("keeper.pipeline").info("skipped reason=%s", "dust", extra={"block": 7})

    (line,) = read()
    assert line.endswith("Z INFO keeper.pipeline skipped reason=dust block=7")


def test_json_lines_parse_and_keep_big_numbers_exact(lines):
    """Wei do not fit into the numbers of most JSON readers."""
    read = lines("json")
    logging.getLogger("keeper").info("planned", extra={"wei": 10**24, "block": 7})

    document = json.loads(read()[0])
    assert document["event"] == "planned"
    assert document["wei"] == str(10**24)
    assert document["block"] == 7


@pytest.mark.parametrize("form", ["text", "json"])
def test_an_exception_is_redacted_with_its_causes(lines, form):
    """The chained cause still holds the endpoint's address."""
    read = lines(form)
    error = RuntimeError("the node is away")
    error.__cause__ = OSError(f"cannot connect to {SECRET_URL}")
    logging.getLogger("keeper").error("failed url=%s", SECRET_URL, exc_info=error)

    (line,) = read()
    assert "the node is away" in line
    assert "https://node.example" in line
    assert "cAnArY" not in line


def test_other_libraries_are_heard_from_warning_on(lines):
    """web3 and aiohttp log whole addresses at info and debug."""
    read = lines(level="debug")
    logging.getLogger("aiohttp.client").info("quiet")
    logging.getLogger("aiohttp.client").warning("loud %s", SECRET_URL)
    logging.getLogger("keeper.chain").debug("ours")

    assert [line.split(" ", 3)[3] for line in read()] == ["loud https://node.example", "ours"]


def test_a_wrong_log_call_does_not_stop_the_keeper(lines):
    """A mistake in a message is no reason to miss a block."""
    read = lines()
    logging.getLogger("keeper").info("%d accounts", "many")

    assert read()[0].endswith("%d accounts")
