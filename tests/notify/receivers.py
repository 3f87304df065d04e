"""Real servers on this machine that take messages, badly at first."""

import asyncio
import contextlib
from dataclasses import dataclass, field
from email import message_from_bytes, policy

from aiohttp import web
from aiosmtpd.smtp import SMTP

HANG_SECONDS = 3


@dataclass(slots=True)
class Receiver:
    """An http server; ``moods`` are what it does with the next requests before it behaves."""

    moods: list[str] = field(default_factory=list)
    taken: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    tried: int = 0
    url: str = ""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Take a request, or do what the mood says."""
        body = await request.read()
        self.tried += 1
        mood = self.moods.pop(0) if self.moods else ""
        if mood == "hang":
            await asyncio.sleep(HANG_SECONDS)
            raise ConnectionResetError
        if mood == "reset":
            request.transport.abort()
            return web.Response()
        if mood:
            headers = {"Retry-After": "1"} if mood == "429" else {}
            return web.Response(status=int(mood), headers=headers, text="https://secret.example/x")
        self.taken.append((dict(request.headers), body))
        return web.json_response({})


@contextlib.asynccontextmanager
async def listening(*moods):
    """Serve until the context ends."""
    receiver = Receiver(list(moods))
    app = web.Application()
    app.router.add_post("/{path:.*}", receiver.handle)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    receiver.url = f"http://{host}:{port}"
    try:
        yield receiver
    finally:
        await runner.cleanup()


@dataclass
class Postbox:
    """
    What an SMTP server took; ``moods`` are what it says to the next messages.

    No slots: aiosmtpd asks for every attribute, and up to Python 3.11.2 one that slots leave fails.
    """

    moods: list[str] = field(default_factory=list)
    mails: list = field(default_factory=list)
    tried: int = 0
    url: str = ""

    async def handle_DATA(self, server: SMTP, session: object, envelope: object) -> str:  # noqa: N802
        """Take a message, or do what the mood says."""
        self.tried += 1
        mood = self.moods.pop(0) if self.moods else ""
        if mood == "hang":
            await asyncio.sleep(HANG_SECONDS)
            return "451 too slow"
        if mood:
            return f"{mood} not now"
        self.mails.append(message_from_bytes(envelope.content, policy=policy.default))
        return "250 taken"


@contextlib.asynccontextmanager
async def receiving_mail(*moods):
    """Serve SMTP until the context ends."""
    postbox = Postbox(list(moods))
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(postbox, loop=loop), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    postbox.url = (
        f"mailto://127.0.0.1:{port}?from=keeper@example.org&to=holder@example.org&mode=insecure"
    )
    try:
        yield postbox
    finally:
        server.close()
