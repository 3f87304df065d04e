"""Handwritten creation code that reads data which a method may refuse.

Its result has a leading zero byte, since a node would refuse a delegation (0xef..) as deployed
code.
"""

from keeper.domain.units import Address


def code_reader(address: Address) -> bytes:
    """Build creation code that returns a zero byte and the code of an address.

    It runs EXTCODESIZE, EXTCODECOPY(address, 1, 0, size) and RETURN(0, size + 1).
    """
    pushed = "73" + address[2:]
    return bytes.fromhex(f"{pushed}3b8060006001{pushed}3c6001016000f3")


def balance_reader(address: Address) -> bytes:
    """Build creation code that returns a zero byte and the balance of an address.

    It runs BALANCE, MSTORE(1, balance) and RETURN(0, 33).
    """
    return bytes.fromhex(f"73{address[2:]}3160015260216000f3")
