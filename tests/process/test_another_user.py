"""Another user of the machine, ``nobody``, tries each door of a keeper that runs: none opens."""

import contextlib
import json
import os
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from keeper.config import load
from keeper.domain.errors import ConfigError, EnvironmentFault, JournalError
from keeper.execution.control import listening, socket_path
from keeper.storage.journal import Journal

NOBODY = 65_534
PYTHON = shutil.which("python3", path="/usr/bin:/bin")
KEY = "5c" * 32
PASSWORD = "canary-of-the-password"

as_root = pytest.mark.skipif(
    os.geteuid() != 0 or PYTHON is None, reason="only root can be another user, in system's Python"
)

KEEPER = """
import asyncio, os, sys
from pathlib import Path
from keeper.book.file import BookFile
from keeper.cli.guarding import protect_memory
from keeper.config import load
from keeper.execution.control import listening, socket_path
from keeper.execution.keystore import store
from keeper.observe.health import Health
from keeper.observe.http import Window, served
from keeper.storage.journal import Journal

async def record(*_):
    pass

async def text():
    return b""

async def main(folder):
    os.umask(0)
    protect_memory()
    store(folder / "key.json", bytes.fromhex("5c" * 32), "canary-of-the-password")
    settings = load(folder / "keeper.toml").settings
    journal = Journal.open(settings.journal.path, chain_id=31337, sender=None)
    book = BookFile(settings.book_path, 31337)
    window = Window(health=Health(), metrics=text, version={})
    async with listening(socket_path(journal.path), None, record):
        async with served(window, "127.0.0.1", 0) as port:
            print(port, flush=True)
            await asyncio.to_thread(sys.stdin.read)
    journal.close()
    book.close()

asyncio.run(main(Path(sys.argv[1])))
"""

STRANGER = """
import ctypes, fcntl, json, os, signal, socket, sys

folder, pid, port, addresses = json.loads(sys.argv[1])
doors = {}

def attempt(name, work):
    try:
        result = work()
        doors[name] = "open" if result is None else str(result)
    except OSError as error:
        doors[name] = "closed"

def beside(name):
    return os.path.join(folder, name)

def opened(path, flags):
    return lambda: os.close(os.open(path, flags))

def bound(path):
    def work():
        made = socket.socket(socket.AF_UNIX)
        made.bind(path)
    return work

def connected(path):
    def work():
        made = socket.socket(socket.AF_UNIX)
        made.settimeout(1)
        made.connect(path)
        made.sendall(b'{"action": "pause"}' + bytes([10]))
        if not made.recv(1):
            raise OSError("no answer")
    return work

def outside(address):
    return lambda: socket.create_connection((address, port), 1).close()

def traced():
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.ptrace(16, pid, None, None) != 0:
        raise OSError(ctypes.get_errno(), "ptrace")

for name in sorted(os.listdir(folder)):
    path = beside(name)
    attempt("read " + name, opened(path, os.O_RDONLY))
    attempt("write " + name, opened(path, os.O_WRONLY))
    attempt("remove " + name, lambda: os.unlink(path))
    attempt("rename " + name, lambda: os.rename(path, path + ".away"))
    attempt("mode of " + name, lambda: os.chmod(path, 0o666))
    attempt("replace " + name, lambda: os.symlink("/dev/null", path))
    if not name.endswith(".sock"):
        attempt("lock " + name, lambda: fcntl.flock(os.open(path, os.O_RDONLY), fcntl.LOCK_EX))
for name in (".env", "keeper.sqlite-journal", "x.lock", "x.sock"):
    attempt("make " + name, opened(beside(name), os.O_WRONLY | os.O_CREAT))
    attempt("link " + name, lambda: os.symlink("/dev/null", beside(name)))
attempt("command", connected(beside("keeper.sqlite.sock")))
attempt("bind", bound(beside("keeper.sqlite.sock")))
attempt("trace", traced)
for name in ("mem", "environ", "maps", "auxv", "syscall", "stack"):
    attempt("process's " + name, lambda: open("/proc/%d/%s" % (pid, name), "rb").read(1) and None)
attempt("process's files", lambda: os.listdir("/proc/%d/fd" % pid) and None)
attempt("signal", lambda: os.kill(pid, signal.SIGABRT))
for address in addresses:
    attempt("pages at " + address, outside(address))
for line in open("/proc/net/unix"):
    name = line.split()[-1]
    if name.startswith("@keeper-journal-"):
        attempt("name " + name, connected(bytes([0]) + name[1:].encode()))
print(json.dumps(doors))
"""


def as_nobody(script, *arguments):
    """Run a script of plain Python as another user and return what it printed."""
    done = subprocess.run(
        [str(PYTHON), "-c", script, *arguments],
        user=NOBODY,
        group=NOBODY,
        extra_groups=[],
        cwd="/",
        env={"PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def folder():
    """A folder of the keeper's that others may look into, as many are."""
    with tempfile.TemporaryDirectory(prefix="keeper-doors-") as made:
        path = Path(made)
        path.chmod(0o755)
        yield path


def settings_in(folder):
    """Write settings with a key in them, a password file, and what an export left."""
    endpoint = f"ws://127.0.0.1:1/?key={'canary' * 4}"
    (folder / "keeper.toml").write_text(
        f'[chain]\nid = 31337\nendpoints = ["{endpoint}"]\n'
        '[[market]]\nprotocol = "aave_v3"\n'
        f'addresses_provider = "0x{"12" * 20}"\nfrom_block = 7\n'
    )
    (folder / ".env").write_text("KEEPER_POLICY__MIN_PROFIT_USD=10\n")


def _own_addresses():
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))
        return ["127.0.0.2", probe.getsockname()[0]]
    return ["127.0.0.2"]


@contextlib.contextmanager
def keeper_in(folder, **identity):
    """Run the parts of a keeper that have doors, and yield its process and the pages' port."""
    command = [sys.executable, "-c", KEEPER, str(folder)]
    environment = {"PYTHONPATH": ":".join(sys.path), "KEEPER_WALLET__PRIVATE_KEY": KEY}
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
        env=environment,
        **identity,
    )
    try:
        port = process.stdout.readline()
        assert port.strip().isdigit(), process.stderr.read()
        yield process, int(port)
    finally:
        process.communicate("", timeout=60)
    assert process.returncode == 0


@as_root
def test_no_door_of_a_running_keeper_opens_to_another_user(folder):
    """Settings, key, journal, lock, logs, book, socket, memory, pages: all are tried."""
    settings_in(folder)
    with keeper_in(folder) as (process, port):
        before = {file.name: file.lstat().st_ino for file in folder.iterdir()}
        asked = json.dumps([str(folder), process.pid, port, _own_addresses()])
        doors = json.loads(as_nobody(STRANGER, asked))
        after = {file.name: file.lstat().st_ino for file in folder.iterdir()}
        modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()}

    opened = [name for name, state in doors.items() if state != "closed"]
    assert opened == []
    assert before == after
    assert set(modes.values()) == {0o600}
    assert {"keeper.toml", ".env", "key.json", "keeper.sqlite", "keeper.book.sqlite"} <= set(before)
    assert {"keeper.sqlite-wal", "keeper.sqlite.lock", "keeper.sqlite.sock"} <= set(before)
    assert {"command", "bind", "trace", "process's mem", "pages at 127.0.0.2"} <= set(doors)
    assert any(name.startswith("name @keeper-journal-") for name in doors)


INSIDE = """
import ctypes, json, sys
pid = int(sys.argv[1])
doors = []
libc = ctypes.CDLL(None, use_errno=True)
if libc.ptrace(16, pid, None, None) == 0:
    doors.append("trace")
for name in ("mem", "environ", "maps"):
    try:
        open("/proc/%d/%s" % (pid, name), "rb").read(1)
        doors.append(name)
    except OSError:
        pass
print(json.dumps(doors))
"""

SLEEPER = """
import sys
if sys.argv[1] == "closed":
    sys.path.insert(0, sys.argv[2])
    import ctypes, resource
    exec(open(sys.argv[2]).read())
    protect_memory()
print("up", flush=True)
sys.stdin.read()
"""


@as_root
@pytest.mark.parametrize("state", ["closed", "open"])
def test_not_even_the_same_user_reads_a_keepers_memory(tmp_path, state):
    """What else runs under the account, hijacked or not, has no key; without it, it would have."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        folder.chmod(0o755)
        source = Path(sys.modules["keeper"].__file__).parent / "cli" / "guarding.py"
        copy = folder / "guarding.py"
        copy.write_text(source.read_text())
        copy.chmod(0o644)
        sleeper = subprocess.Popen(
            [str(PYTHON), "-c", SLEEPER, state, str(copy)],
            user=NOBODY,
            group=NOBODY,
            extra_groups=[],
            cwd="/",
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            assert sleeper.stdout.readline() == "up\n"
            doors = json.loads(as_nobody(INSIDE, str(sleeper.pid)))
        finally:
            sleeper.kill()
            sleeper.communicate()

    assert "mem" not in doors if state == "closed" else "environ" in doors
    assert state == "open" or doors == []


MAKE = """
import os, socket, sys
os.umask(0)
path, kind = sys.argv[1:]
if kind == "socket":
    socket.socket(socket.AF_UNIX).bind(path)
elif kind == "link":
    os.symlink("/etc/passwd", path)
else:
    os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o666))
    open(path, "w").write("KEEPER_POLICY__MIN_PROFIT_USD=0" if path.endswith(".env") else "")
"""


def _started(folder):
    path = load(folder / "keeper.toml", environ={}).settings.journal.path
    Journal.open(path, chain_id=31337, sender=None).close()


@as_root
@pytest.mark.parametrize("kind", ["file", "link"])
@pytest.mark.parametrize(
    "name",
    [".env", *(f"keeper.sqlite{end}" for end in ("", "-wal", "-shm", "-journal", ".lock"))],
)
def test_what_another_user_made_first_is_not_believed(folder, name, kind):
    """In a folder like /tmp anybody may; the keeper says whose it is, and signs nothing."""
    settings_in(folder)
    (folder / ".env").unlink()
    folder.chmod(0o1777)
    as_nobody(MAKE, str(folder / name), kind)

    with pytest.raises(
        (JournalError, ConfigError), match=r"user 65534|cannot open|not a journal|link"
    ):
        _started(folder)


@as_root
async def test_a_socket_that_another_user_made_first_gets_no_command(folder):
    """Root may remove it and listens itself; whoever may not says so and does not start."""
    folder.chmod(0o1777)
    path = socket_path(folder / "keeper.sqlite")
    as_nobody(MAKE, str(path), "socket")

    async def record(*_):
        pass

    with contextlib.suppress(EnvironmentFault):
        async with listening(path, None, record):
            assert path.stat().st_uid == os.geteuid()
            assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_what_a_keeper_writes_is_its_owners_alone_whatever_the_process_allows(folder):
    """The same claim by the files' modes, where no test may be another user."""
    settings_in(folder)
    with keeper_in(folder):
        modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()}

    assert set(modes.values()) == {0o600}
    assert len(modes) >= 9


ORDINARY = """
import asyncio, os, sys, tempfile
from pathlib import Path
from keeper.book.file import BookFile
from keeper.cli.guarding import protect_memory
from keeper.config import load
from keeper.execution.control import _send_command, is_listening, listening, socket_path
from keeper.storage.journal import Journal

async def record(*_):
    pass

async def hello(_):
    return "hello"

async def main(folder):
    settings = load(folder / "keeper.toml").settings
    path = settings.journal.path
    async with listening(socket_path(path), None, record, {"hello": hello}):
        answer = await _send_command(socket_path(path), "hello", "")
        heard = await asyncio.to_thread(is_listening, path)
    journal = Journal.open(path, chain_id=31337, sender=None)
    await journal.probe()
    BookFile(settings.book_path, 31337).close()
    journal.close()
    print(answer, heard, os.geteuid(), flush=True)

folder = Path(sys.argv[1])
with tempfile.TemporaryDirectory() as first:  # whatever is imported on demand is imported now
    Journal.open(Path(first) / "keeper.sqlite", chain_id=31337, sender=None).close()
    BookFile(Path(first) / "book.sqlite", 31337).close()
    load(folder / "keeper.toml")
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
protect_memory()
asyncio.run(main(folder))
"""


@as_root
def test_an_ordinary_user_runs_a_keeper_with_its_memory_closed(folder):
    """What keeps strangers out keeps nobody from his own files, socket and journal."""
    settings_in(folder)
    for file in (folder, folder / "keeper.toml", folder / ".env"):
        os.chown(file, NOBODY, NOBODY)
    folder.chmod(0o700)

    done = subprocess.run(
        [sys.executable, "-c", ORDINARY, str(folder)],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": ":".join(sys.path)},
        cwd="/",
        timeout=60,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "{'ok': True, 'action': 'hello', 'result': 'hello'} True 65534"
