"""Which names the pages are served by."""

import pytest

from keeper.observe.http import LOCAL_NAMES, host_name


@pytest.mark.parametrize(
    "header",
    [
        "127.0.0.1",
        "127.0.0.1:9464",
        "localhost:1",
        "LOCALHOST",
        "[::1]:9464",
        "[::1]",
        " 127.0.0.1 ",
    ],
)
def test_this_machine_is_known_by_its_names(header):
    """With and without port, in both protocols."""
    assert host_name(header) in LOCAL_NAMES


@pytest.mark.parametrize(
    "header",
    [
        "",
        "evil.example",
        "evil.example:9464",
        "127.0.0.1.evil.example",
        "localhost.evil.example:9464",
        "127.0.0.1@evil.example",
        "evil.example#127.0.0.1",
        "[::1].evil.example",
        "::1",
        "127.0.0.1:x",
    ],
)
def test_a_name_that_somebody_else_controls_is_no_name_of_ours(header):
    """A web page may point its own name at this machine; the Host header gives it away."""
    assert host_name(header) not in LOCAL_NAMES
