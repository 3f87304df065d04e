"""
Pack what the program reads beside its code: ABIs, templates, the lock, the licence.

Everything else stands in pyproject.toml. In a checkout these files are read where they lie;
``keeper/packed.py`` finds them in both.
"""

from pathlib import Path
from shutil import copyfile

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
PACKED = (
    *sorted(ROOT.glob("contracts/abi/*.json")),
    ROOT / "keeper.example.toml",
    ROOT / ".env.example",
    ROOT / "requirements" / "run.txt",
    ROOT / "LICENSE",
)


class BuildWithPacked(build_py):
    """Copy the packed files into the package that is built."""

    def run(self) -> None:
        """Build the package, then add the packed files."""
        super().run()
        for source in PACKED:
            target = Path(self.build_lib) / "keeper" / "_packed" / source.relative_to(ROOT)
            target.parent.mkdir(parents=True, exist_ok=True)
            copyfile(source, target)


setup(cmdclass={"build_py": BuildWithPacked})
