"""Answers that are none: each has its class, none its way into memory, and no address is told."""

import asyncio
import contextlib
import gc
import gzip
import json
import resource
import ssl
import sys
import zlib

import pytest
from aiohttp import web

import keeper.app  # noqa: F401 - with all that it loads
from keeper.chain import transport as transports
from keeper.chain.causes import retry_after
from keeper.chain.reader import connect
from keeper.chain.transport import MAX_ANSWER_BYTES, Timeouts
from keeper.domain.errors import RpcBusy, RpcMalformed, RpcRefused, RpcTooLarge, RpcUnavailable
from tests.support.scripted_node import ScriptedNode, nodes

MIB = 1024 * 1024
NOBODYS = """\
-----BEGIN CERTIFICATE-----
MIIBgDCCASWgAwIBAgIUbfnnD9VTB7LjMG4yRFGeFTWxaVQwCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJbG9jYWxob3N0MCAXDTI2MTEyNjAyMTUxNVoYDzIxMjYxMTAy
MDIxNTE1WjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjO
PQMBBwNCAARvA/HMhI2wLxsIWxjyM8cvrDRSnoUugotkhtyornIA82ovQuN2VMWO
vpWrMfazJl2UjQsyFeYEvxVlHU+vAbsco1MwUTAdBgNVHQ4EFgQUYG+1q+xdAjg5
8yUjBILZ8pGvdVMwHwYDVR0jBBgwFoAUYG+1q+xdAjg58yUjBILZ8pGvdVMwDwYD
VR0TAQH/BAUwAwEB/zAKBggqhkjOPQQDAgNJADBGAiEAn+hvQ/vrqDL66WTyguQ7
jVU5iGGOzHU+Za8h/+H1XccCIQC4vWIo616QdLeA1+ne3JV/mZmEEXxzaHdhV9Ks
8rmH6w==
-----END CERTIFICATE-----
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg5Ymuc0YVGlMEMFx9
5PxAsfKJWx+sMC+rH7eXIDp8vMShRANCAARvA/HMhI2wLxsIWxjyM8cvrDRSnoUu
gotkhtyornIA82ovQuN2VMWOvpWrMfazJl2UjQsyFeYEvxVlHU+vAbsc
-----END PRIVATE KEY-----
"""
"""Made for this test with `openssl req -x509`; it opens nothing."""


@contextlib.asynccontextmanager
async def asked(answer):
    """Connect to a node that answers everything with this from now on, and yield the rpc."""
    times = Timeouts(connect=5.0, request=30.0, reads=0.2)
    node = ScriptedNode()
    async with nodes(node), connect([node.http], chain_id=1, timeouts=times) as reader:

        async def raw(request):
            return await answer(request, await request.json())

        node.raw = raw
        yield reader.rpc


def text(body, **options):
    async def answer(request, document):
        return web.Response(text=body.replace("ID", str(document["id"])), **options)

    return answer


def _nested(depth):
    return '{"jsonrpc": "2.0", "id": ID, "result": ' + "[" * depth + "]" * depth + "}"


ONE = {
    "wrong id": ('{"jsonrpc": "2.0", "id": 123456, "result": "0x1"}', RpcMalformed),
    "missing id": ('{"jsonrpc": "2.0", "result": "0x1"}', RpcMalformed),
    "result and error": (
        '{"jsonrpc": "2.0", "id": ID, "result": "0x1", "error": {"code": 1, "message": "x"}}',
        RpcMalformed,
    ),
    "neither": ('{"jsonrpc": "2.0", "id": ID}', RpcMalformed),
    "a page": ("<html><body>502 Bad Gateway</body></html>", RpcMalformed),
    "empty body": ("", RpcMalformed),
    "NaN": ('{"jsonrpc": "2.0", "id": ID, "result": NaN}', RpcMalformed),
    "infinity": ('{"jsonrpc": "2.0", "id": ID, "result": -Infinity}', RpcMalformed),
    "duplicate keys": (
        '{"jsonrpc": "2.0", "id": ID, "result": "0x1", "result": "0x2"}',
        RpcMalformed,
    ),
    "duplicate keys inside": (
        '{"jsonrpc": "2.0", "id": ID, "result": {"number": "0x1", "number": "0x2"}}',
        RpcMalformed,
    ),
    "deep nesting": (_nested(100_000), RpcMalformed),
    "cut": ('{"jsonrpc": "2.0", "id": ID, "resu', RpcMalformed),
    "a number of a million digits": (
        '{"jsonrpc": "2.0", "id": ID, "result": ' + "9" * 1_000_000 + "}",
        RpcMalformed,
    ),
    "a batch for one": ('[{"jsonrpc": "2.0", "id": ID, "result": "0x1"}]', RpcMalformed),
    "an error without code": (
        '{"jsonrpc": "2.0", "id": ID, "error": {"message": "x"}}',
        RpcMalformed,
    ),
    "patience in a body of 200": ('{"code": 429, "message": "slow down"}', RpcBusy),
    "a refusal": (
        '{"jsonrpc": "2.0", "id": ID, "error": {"code": -32601, "message": "no such method"}}',
        RpcRefused,
    ),
}


@pytest.fixture
def deep_recursion():
    """What a library of the keystore's leaves behind: nesting ends in a full stack, or not."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(100_000)
    yield
    sys.setrecursionlimit(before)


@pytest.mark.io
@pytest.mark.parametrize("what", ONE)
async def test_f12_an_answer_that_is_none_has_its_class(what, deep_recursion):
    """Nothing half-understood goes further; no text of the node's address with it."""
    body, kind = ONE[what]
    async with asked(text(body)) as rpc:
        with pytest.raises(kind) as caught:
            await rpc.request("eth_blockNumber")

    assert type(caught.value) is kind
    assert "secret-path" not in str(caught.value)


def _reply(number, result="0x1"):
    return {"jsonrpc": "2.0", "id": number, "result": result}


BATCHES = {
    "short": lambda ids: [_reply(one) for one in ids[:-1]],
    "long": lambda ids: [_reply(one) for one in (*ids, 999)],
    "doubled": lambda ids: [_reply(one) for one in (*ids[:-1], ids[0])],
    "another's": lambda ids: [_reply(one) for one in (*ids[:-1], 999)],
    "not a list": lambda ids: _reply(ids[0]),
    "of numbers": lambda ids: [1, 2, 3],
}


@pytest.mark.io
@pytest.mark.parametrize("what", BATCHES)
async def test_f12_a_batch_that_does_not_fit_is_refused_whole(what):
    """One answer too few or too many puts every other in doubt."""

    async def answer(_, documents):
        return web.json_response(BATCHES[what]([one["id"] for one in documents]))

    async with asked(answer) as rpc:
        with pytest.raises(RpcMalformed):
            await rpc.batch([("eth_blockNumber", ())] * 3)


@pytest.mark.io
async def test_f12_a_reordered_batch_with_one_error_inside_is_read_by_its_ids():
    """Each request has its own answer, in the order in which they were asked."""

    async def answer(_, documents):
        ids = [one["id"] for one in documents]
        error = {"code": -32000, "message": "execution reverted"}
        return web.json_response(
            [
                _reply(ids[2], "0x3"),
                {"jsonrpc": "2.0", "id": ids[1], "error": error},
                _reply(ids[0], "0x1"),
            ]
        )

    async with asked(answer) as rpc:
        first, second, third = await rpc.batch([("eth_call", ())] * 3)

    assert (first, third) == ("0x1", "0x3")
    assert isinstance(second, RpcRefused)


def endless(chunk, headers=None):
    async def answer(request, _):
        response = web.StreamResponse(headers=headers)
        await response.prepare(request)
        with contextlib.suppress(ConnectionError):
            for _ in range(200):
                await response.write(chunk)
        return response

    return answer


@pytest.mark.io
async def test_f12_two_hundred_megabytes_are_not_read():
    """The bound is on what is read, not on what is announced."""
    async with asked(endless(b" " * MIB)) as rpc:
        with pytest.raises(RpcTooLarge, match="longer than 1 MiB"):
            await rpc.request("eth_blockNumber")


@pytest.mark.io
@pytest.mark.parametrize("layers", [1, 2])
async def test_f12_a_gzip_bomb_is_bounded_by_what_it_becomes(layers):
    """A gigabyte of spaces is a megabyte on the wire."""
    layer = zlib.compressobj(1, zlib.DEFLATED, 31)
    bomb = b"".join(layer.compress(b" " * MIB) for _ in range(256)) + layer.flush()
    headers = {"Content-Encoding": "gzip"}
    if layers == 2:
        bomb, headers = gzip.compress(bomb), {"Content-Encoding": "gzip, gzip"}

    async def answer(_, document):
        return web.Response(body=bomb, headers=headers)

    async with asked(answer) as rpc:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        with pytest.raises((RpcMalformed, RpcUnavailable)):
            await rpc.request("eth_blockNumber")
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before

    assert grown * 1024 < 3 * MAX_ANSWER_BYTES


@pytest.mark.io
async def test_f12_what_is_no_gzip_says_so():
    """A wrong header is the node's mistake, not a lost connection."""
    async with asked(text("plain", headers={"Content-Encoding": "gzip"})) as rpc:
        with pytest.raises((RpcMalformed, RpcUnavailable)):
            await rpc.request("eth_blockNumber")


@pytest.mark.io
async def test_f12_a_websocket_message_without_end_is_not_read():
    """The same bound over the other transport."""
    node = ScriptedNode()
    async with nodes(node), connect([node.ws], chain_id=1) as reader:
        node.handlers["eth_blockNumber"] = lambda _: "0x" + "0" * (MAX_ANSWER_BYTES + 1)
        with pytest.raises((RpcTooLarge, RpcUnavailable)):
            await reader.rpc.request("eth_blockNumber")


@pytest.mark.io
async def test_f12_a_broken_answer_of_one_endpoint_is_read_from_another():
    """The read goes on; the broken one is counted as a failure."""
    first, second = ScriptedNode(), ScriptedNode(height=7)
    async with nodes(first, second), connect([first.http, second.http], chain_id=1) as reader:
        first.raw = lambda _: asyncio.sleep(0, web.Response(text="<html>"))
        assert (await reader.head()).number == 7
        assert reader.rpc.pool.standings[0].failures == 1


@pytest.mark.io
async def test_f12_the_only_endpoint_is_asked_again_after_a_broken_answer():
    """A page in place of the first answers would end a keeper that starts just then."""
    node = ScriptedNode(height=7, pages=1)
    async with nodes(node), connect([node.ws], chain_id=1) as reader:
        node.pages = 1
        assert (await reader.head()).number == 7
    assert node.openings == 3  # what talks nonsense is dialled anew


@pytest.mark.io
async def test_f12_nothing_stays_open_after_a_broken_answer(recwarn):
    """Who closes the connection meets who is closing it because of the nonsense."""
    node = ScriptedNode()
    async with nodes(node):
        async with connect([node.ws], chain_id=1) as reader:
            node.pages = 1
            with pytest.raises(RpcMalformed):
                await reader.rpc.request("eth_blockNumber")
        gc.collect()
    assert [str(one.message) for one in recwarn if one.category is ResourceWarning] == []


@pytest.mark.io
async def test_f41_a_name_that_does_not_resolve_is_said_without_the_address():
    """A typing mistake in the settings, or a resolver that is down."""
    with pytest.raises(RpcUnavailable, match="its name does not resolve") as caught:
        async with connect(
            ["http://no-such-host.invalid/v2/SECRETKEY"],
            chain_id=1,
            timeouts=Timeouts(connect=5.0, request=5.0, reads=0.2),
        ):
            pass

    assert "SECRETKEY" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.io
@pytest.mark.parametrize("scheme", ["https", "wss"])
async def test_f41_a_certificate_of_nobodys_is_refused(scheme, tmp_path):
    """Whoever can stand between must not be taken for the node."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(_self_signed(tmp_path))
    node = web.Application()
    runner = web.AppRunner(node, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    port = runner.addresses[0][1]
    try:
        with pytest.raises(RpcUnavailable, match="certificate") as caught:
            async with connect(
                [f"{scheme}://127.0.0.1:{port}/v2/SECRETKEY"],
                chain_id=1,
                timeouts=Timeouts(connect=5.0, request=5.0, reads=0.2),
            ):
                pass
    finally:
        await runner.cleanup()
    assert "SECRETKEY" not in str(caught.value)


@pytest.mark.io
async def test_f41_proxies_of_the_environment_are_not_used(monkeypatch):
    """A key's traffic does not go through what some shell profile says."""
    through = []

    async def proxy(reader, writer):
        through.append(await reader.read(100))
        writer.close()

    server = await asyncio.start_server(proxy, "127.0.0.1", 0)
    address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "WS_PROXY"):
        monkeypatch.setenv(name, address)
    monkeypatch.delenv("NO_PROXY", raising=False)
    node = ScriptedNode()
    async with nodes(node):
        for place in (node.http, node.ws):
            async with connect([place], chain_id=1) as reader:
                assert (await reader.head()).number == 1
    server.close()

    assert through == []


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7.0),
        ("1.5", 1.5),
        (" 30 ", 30.0),
        ("Thu, 01 Jan 1970 00:01:40 GMT", 10.0),
        ("Thu, 01 Jan 1970 00:00:10 GMT", 0.0),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("1e9", None),
        ("9" * 400, None),
    ],
)
def test_f05_retry_after_is_a_number_or_a_date(header, seconds):
    """RFC 9110 allows both; what is neither says nothing."""
    assert retry_after(header, 90.0) == seconds


def _self_signed(folder):
    """Return a file with a certificate that nobody vouches for, and its key."""
    path = folder / "nobody.pem"
    path.write_text(NOBODYS)
    return path


@pytest.mark.parametrize("opening", ["[", '{"a":', '[{"a":', '["]",', '["\\"]]",', '["\\\\","]",'])
def test_f12_nesting_is_bounded_before_it_is_followed(opening):
    """Python's own limit is lifted by a library; a process would die of the decoder's recursion."""
    closing = "".join("]" if one == "[" else "}" for one in reversed(opening) if one in "[{")
    deep, shallow = 50_000, 20

    with pytest.raises(RpcMalformed):
        transports.decoded_json(opening * deep + "1" + closing * deep)
    assert transports.decoded_json(opening * shallow + "1" + closing * shallow)


def test_f12_brackets_in_texts_are_no_nesting():
    """A node's words may have some."""
    text = '"\\[' * 400 + "{" * 200
    assert transports.decoded_json(json.dumps({"message": text})) == {"message": text}


def test_what_is_asked_of_json_is_what_json_says():
    """The bound on nesting and on doubles is in the one decoder that every transport uses."""
    assert transports.decoded_json(json.dumps({"a": {"b": [1, {"a": 2}]}})) == {
        "a": {"b": [1, {"a": 2}]}
    }
