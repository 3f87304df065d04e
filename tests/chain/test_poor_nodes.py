"""A crash behind nodes that lack what is optional: every plan that pays is sent."""

import pytest

from keeper.chain.multicall import MULTICALL3
from tests.chain.test_late_nodes import acted, all_sent, configured
from tests.chain.worlds import Keeper
from tests.support.threaded import proxied

GAS_CAP = 10_000_000


def _caps_gas(method, params):
    gas = params[0].get("gas") if method in ("eth_call", "eth_estimateGas") else None
    return gas is not None and int(gas, 16) > GAS_CAP


def _has_no_multicall(method, params):
    return method == "eth_call" and params[0].get("to") == MULTICALL3


def _shows_no_multicall(method, params):
    return method == "eth_getCode" and params[0] == MULTICALL3


def _has_overrides(method, params):
    return method == "eth_call" and len(params) > 2


def _is_tagged(*tags):
    def refuses(method, params):
        tagged = method in ("eth_getTransactionCount", "eth_getBlockByNumber")
        return tagged and any(tag in params for tag in tags)

    return refuses


def _is(*methods):
    return lambda method, _: method in methods


REFUSALS = {
    "a cap on gas": ([_caps_gas], "the gas field of eth_call"),
    "no overrides": ([_has_overrides], ""),
    "no pending": ([_is_tagged("pending")], "eth_getTransactionCount at pending"),
    "nothing final": ([_is_tagged("finalized", "safe")], "the finalized tag"),
    "no subscriptions": ([_is("eth_subscribe")], "eth_subscribe to newHeads"),
    "no chain id": ([_is("eth_chainId")], "eth_chainId"),
    "no facts of accounts": ([_is("eth_getCode", "eth_getBalance")], "eth_getCode"),
    "no height": ([_is("eth_blockNumber", "web3_clientVersion")], ""),
}


@pytest.fixture
def keeper(aave36, tmp_path):
    return Keeper(tmp_path / "keeper", aave36)


def refusing(matches, empty=()):
    """Return a hook that refuses what one of ``matches`` names, and empties what ``empty`` does."""

    async def hook(request):
        method, params = request.get("method"), request.get("params", [])
        answer = {"jsonrpc": "2.0", "id": request.get("id")}
        if any(is_refused(method, params) for is_refused in matches):
            capped = _caps_gas(method, params) and _caps_gas in matches
            message = "gas limit too high" if capped else "not available on your plan"
            return {**answer, "error": {"code": -32600, "message": message}}
        if any(is_empty(method, params) for is_empty in empty):
            return {**answer, "result": "0x"}
        return None

    return hook


@pytest.mark.parametrize("kind", REFUSALS)
def test_one_thing_that_is_lacking(keeper, kind):
    """It is said once, and costs no block and no plan."""
    matches, capability = REFUSALS[kind]
    with proxied(keeper.devnet.node.port) as proxy:
        proxy.hooks.append(refusing(matches))
        configured(keeper, proxy.ws_url)
        events, log = acted(keeper)

    all_sent(events, log)
    assert log.count(f'capability="{capability}"') == bool(capability)


@pytest.mark.parametrize("scheme", ["ws", "http"])
def test_neither_multicall_nor_batches(keeper, scheme):
    """A new chain behind a free plan."""
    with proxied(keeper.devnet.node.port) as proxy:
        proxy.most_requests = 3
        proxy.hooks.append(
            refusing([_has_overrides], empty=[_has_no_multicall, _shows_no_multicall])
        )
        configured(keeper, proxy.ws_url if scheme == "ws" else proxy.url)
        events, log = acted(keeper)

    all_sent(events, log)
    assert log.count('capability="Multicall3"') == 1


@pytest.mark.parametrize("scheme", ["ws", "http"])
def test_all_of_it_at_once(keeper, scheme):
    """The poorest node that still has headers, logs, calls, nonces, receipts and sends."""
    optional = _is(
        *("eth_simulateV1", "eth_estimateGas", "eth_feeHistory", "eth_maxPriorityFeePerGas"),
        *("eth_getBlockReceipts", "eth_subscribe", "eth_chainId", "eth_blockNumber"),
        *("eth_getCode", "eth_getBalance", "web3_clientVersion"),
    )
    refused = [optional, _caps_gas, _has_overrides, _is_tagged("pending", "finalized", "safe")]
    with proxied(keeper.devnet.node.port) as proxy:
        proxy.most_requests = 1
        proxy.hooks.append(refusing(refused, empty=[_has_no_multicall]))
        configured(keeper, proxy.ws_url if scheme == "ws" else proxy.url)
        events, log = acted(keeper)

    all_sent(events, log)
