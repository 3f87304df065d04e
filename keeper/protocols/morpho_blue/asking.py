"""Calls to contracts and the decoding of their answers, hostile ones too; no I/O."""

from collections.abc import Iterator, Sequence

from keeper.chain.abi import calldata, decoded, word
from keeper.domain.errors import MarketUnreadable, RpcMalformed
from keeper.domain.reads import Call, CallResult
from keeper.domain.units import Address

_SHOWN = 10
_LONGEST_SYMBOL = 32
_LONGEST_ANSWER = 1024


def ask(target: Address, signature: str, *values: object) -> Call:
    """Return the read of ``name(type,..)`` at a contract."""
    return Call(target=target, data=calldata(signature, *values))


class Answers:
    """The answers to a list of calls, taken one by one in its order."""

    def __init__(self, results: Sequence[CallResult]) -> None:
        self._results: Iterator[CallResult] = iter(results)

    def next(self) -> CallResult:
        """Return the next answer; MarketUnreadable where there are too few."""
        try:
            return next(self._results)
        except StopIteration:
            raise MarketUnreadable("fewer answers than questions") from None

    def words(self, count: int, what: str) -> tuple[int, ...]:
        """Return the next answer's first words; MarketUnreadable if it has fewer, or failed."""
        answer = self.next()
        if not answer.success:
            raise MarketUnreadable(f"{what} does not answer")
        try:
            return tuple(word(answer.data, at) for at in range(count))
        except RpcMalformed:
            raise MarketUnreadable(f"{what} answers less than {count} numbers") from None

    def maybe_word(self) -> int | None:
        """Return the next answer's only word; None if it failed or is anything else."""
        answer = self.next()
        try:
            return word(answer.data, 0) if answer.success else None
        except RpcMalformed:
            return None


def symbol_of(answer: CallResult, token: Address) -> str:
    """Return a token's symbol from text, from 32 bytes, or from its address."""
    text = ""
    if answer.success and len(answer.data) <= _LONGEST_ANSWER:
        try:
            text = str(decoded(("string",), answer.data)[0])
        except RpcMalformed:
            text = answer.data[:32].split(b"\0")[0].decode("utf-8", "ignore")
    printable = "".join(letter for letter in text if letter.isprintable()).strip()
    return printable[:_LONGEST_SYMBOL] or token[:_SHOWN]
