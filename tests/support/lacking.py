"""The ways in which nodes do not answer an optional method, for tests over all of them."""

from tests.support.scripted_node import Refusal

REFUSALS = {
    "no such method": (-32601, "the method does not exist/is not available"),
    "not allowed": (-32600, "method is not whitelisted"),
    "wrong parameters": (-32602, "invalid argument 1"),
    "not here": (-32000, "pending block is not available"),
    "not now": (-32000, "header not found"),
    "a plan without it": (35, "this method is not available on your plan"),
    "a fault of its own": (-32603, "internal error"),
    "a limit": (-32005, "limit exceeded"),
    "too often": (429, "too many requests"),
    "unsupported": (-32004, "method not supported"),
    "a revert": (3, "execution reverted"),
}
"""Codes and messages of error objects."""

ANSWERS = {"null": None, "nothing": "", "no number": "0x", "a text": "pending", "an object": {}}
"""Results that are none."""

LACKS = (*REFUSALS, *ANSWERS)


def lacking(kind):
    """Return a handler that does not answer in one of these ways."""

    def handler(_):
        if kind in REFUSALS:
            code, message = REFUSALS[kind]
            raise Refusal(message, code)
        return ANSWERS[kind]

    return handler
