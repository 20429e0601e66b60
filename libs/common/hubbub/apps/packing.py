"""From the folder of an app to the file that is installed.

The same files make the same bytes, on any machine and at any time, so that a package can be
named by its checksum: names are sorted, times and rights left out, and nothing is compressed,
because compressors differ.
"""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Final

from hubbub.apps.manifest import FILE, Manifest, read

LARGEST: Final = 5 * 1024 * 1024
"""Bytes of a package that an engine takes."""

_BESIDE = ("README.md", "LICENSE", "LICENSE.txt", "icon.png")
_NEVER = {"__pycache__", "node_modules"}
_BEGINNING = (1980, 1, 1, 0, 0, 0)  # of time, in zip files
_UNIX: Final = 3
_MODE: Final = 0o100644 << 16


class CannotPack(Exception):
    """The folder holds what no package may have; the text says what."""


def pack(folder: Path) -> bytes:
    """The package of the app in a folder: its manifest, its Python package, README and licence.

    Tests, hidden files and what Python compiled stay behind.

    Raises: WrongManifest; CannotPack.
    """
    manifest = read(folder)
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_STORED) as archive:
        for path in files(folder, manifest):
            entry = zipfile.ZipInfo(path.relative_to(folder).as_posix(), _BEGINNING)
            entry.create_system, entry.external_attr = _UNIX, _MODE
            archive.writestr(entry, path.read_bytes())
    data = written.getvalue()
    if len(data) > LARGEST:
        raise CannotPack(f"{len(data)} bytes, at most {LARGEST} can be installed")
    return data


def files(folder: Path, manifest: Manifest) -> list[Path]:
    """The files of a package, sorted by name.

    Raises: CannotPack: the package is not there, or a link or something stranger is among them.
    """
    package = folder / manifest.package_name
    if package.is_symlink() or not (package / "__init__.py").is_file():
        raise CannotPack(f"there is no package {manifest.package_name} with an __init__.py")
    found = [folder / name for name in (FILE, *_BESIDE) if (folder / name).exists()]
    for path in package.rglob("*"):
        inside = path.relative_to(folder).parts
        if any(part in _NEVER or part.startswith(".") for part in inside):
            continue
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise CannotPack(f"{path.relative_to(folder)} is not an ordinary file")
        if path.is_file() and path.suffix != ".pyc":
            found.append(path)
    return sorted(found, key=lambda path: path.relative_to(folder).as_posix())
