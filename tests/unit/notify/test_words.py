import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeper.domain import wording
from keeper.notify import words


@pytest.mark.parametrize(
    ("amount", "decimals", "shown"),
    [
        (12_500_000, 6, "12.5"),
        (1_234_567_000_000, 6, "1,234,567"),
        (333333333333333334, 18, "0.333334"),
        (1, 18, "0.000000000000000001"),
        (1_999_999_999_999_999_999, 18, "2"),
        (5, 0, "5"),
    ],
)
def test_an_amount_is_rounded_up_so_that_it_suffices(amount, decimals, shown):
    """Who pays what the message says must reach the target."""
    assert words.amount_ceil(amount, decimals) == shown


@pytest.mark.slow
@given(st.integers(0, 10**40), st.integers(0, 24))
def test_no_amount_shown_is_less_than_what_is_needed(amount, decimals):
    """Whatever the decimals of the token."""
    whole, _, rest = words.amount_ceil(amount, decimals).replace(",", "").partition(".")
    shown = int(whole) * 10**decimals + int((rest or "0").ljust(decimals, "0") or 0)

    assert amount <= shown <= amount + max(10 ** (decimals - 6), amount // 10**5, 0)


@pytest.mark.parametrize(
    ("untrusted", "shown"),
    [
        ("USDC", "USDC"),
        ("<img src=x>", "?img src?x?"),
        ("a\u202eb\x1b[31m\n", "a?b??31m?"),
        ("[pay](http://x)", "?pay??http?//x?"),
        ("*_`|~", "?????"),
        ("токен-1", "токен-1"),
        ("USDC pay.example", "USDC pay?example"),
        ("USDC.e", "USDC.e"),
        ("A" * 99, "A" * 24 + "…"),
        ("", "?"),
    ],
)
def test_a_token_cannot_write_into_a_message(untrusted, shown):
    """Names are chosen by whoever made the token."""
    assert words.name(untrusted) == shown


def test_health_is_never_shown_better_than_it_is():
    """0.99999 is past the line, not at it."""
    assert wording.health(999_999_999_999_999_999) == "0.9999"
    assert wording.health(10**18) == "1.0000"


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(-5, "0 s"), (59, "59 s"), (60, "1 min"), (3_700, "1 h 1 min"), (90_000, "1 d 1 h")],
)
def test_a_span_is_in_its_two_largest_units(seconds, shown):
    """People read the first word."""
    assert wording.span(seconds) == shown


def test_dollars_may_be_unknown():
    """A market without a dollar price is no reason to say nothing."""
    assert words.dollars(None, up=True) == "an unknown amount"


@pytest.mark.parametrize("amount", [123_456_000_001, 123_456_999_999])
def test_a_debt_looks_no_smaller_and_what_backs_it_no_larger_than_it_is(amount):
    """Each is rounded to its owner's disadvantage, by less than a cent."""
    assert words.dollars(amount, up=True) == "1,234.57 USD"
    assert words.dollars(amount, up=False) == "1,234.56 USD"
    assert words.dollars(1, up=True) == "0.01 USD"
