"""Opens an uploaded package, believing nothing that it says of itself.

A package is a zip with `app.toml` and one Python package, at its top or in one folder. It is
unpacked into memory first, counting what really comes out, and written only when all of it was
judged; the folder appears at once or not at all, and nobody can write to it afterwards.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import shutil
import stat
import struct
import tempfile
import unicodedata
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from hubbub.apps import manifest
from hubbub.apps.manifest import Manifest, WrongManifest

PACKED = 5 * 1024 * 1024
"""Bytes of a zip."""

UNPACKED = 20 * 1024 * 1024
"""Bytes of all its files together."""

FILES = 1_000
"""Entries of a zip, folders among them."""

_LONGEST_PATH = 255  # bytes
_DEEPEST = 16  # folders
_CHUNK = 64 * 1024  # bytes
_PROBLEMS = 20  # that are told of one package
_ENCRYPTED = 0x1
_UTF8 = 0x800
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
# All that the standard library's reader raises of broken zips.
_UNREADABLE = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    OSError,
    EOFError,
    RuntimeError,
    ValueError,
    OverflowError,
)
_FILE_MODE, _FOLDER_MODE = 0o444, 0o555


class WrongPackage(ValueError):
    """The package is not accepted; `problems` has a line for everything that is wrong with it."""

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.problems = list(problems)


@dataclass(frozen=True, slots=True)
class Package:
    """A package that was judged and is held in memory."""

    manifest: Manifest
    digest: str
    """SHA-256 of the zip, as hexadecimal digits."""
    files: Mapping[PurePosixPath, bytes]
    """Below the folder of the app."""


def read(data: bytes) -> Package:
    """Judge a zip. Takes up to a second of work for the worst of them: not for an event loop.

    Raises:
        WrongPackage: it is none, or not one that we would run.
    """
    if len(data) > PACKED:
        raise WrongPackage(f"The package has more than {PACKED} bytes")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            files = _files(archive)
    except WrongPackage:
        raise
    except UnicodeDecodeError as error:
        raise WrongPackage("A name in the package is not UTF-8") from error
    except _UNREADABLE as error:
        raise WrongPackage(f"The package is not a zip that can be read: {error}") from error
    files = _without_top_folder(files)
    found = _manifest(files)
    package = found.package_name
    if PurePosixPath(package, "__init__.py") not in files:
        raise WrongPackage(f"The package has no folder {package} with an __init__.py")
    return Package(found, hashlib.sha256(data).hexdigest(), files)


def write(package: Package, folder: Path) -> None:
    """Write the files of a package to `folder`, which appears whole or not at all.

    What stood there before, of a start that was cut off or of another version, goes.

    Raises:
        OSError: the disk is full, or the place is not ours.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        for path, data in package.files.items():
            target = made / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
            target.chmod(_FILE_MODE)
        for inner in made.rglob("*"):
            if inner.is_dir():
                inner.chmod(_FOLDER_MODE)
        remove(folder)
        made.rename(folder)
        folder.chmod(_FOLDER_MODE)
    except BaseException:
        remove(made)
        raise


def remove(folder: Path) -> None:
    """Remove a folder that was written; nothing happens when there is none."""
    with contextlib.suppress(FileNotFoundError):
        for root, folders, _ in os.walk(folder):
            for name in (".", *folders):
                Path(root, name).chmod(0o700)
        shutil.rmtree(folder)


def _files(archive: zipfile.ZipFile) -> dict[PurePosixPath, bytes]:
    """All files of a zip with what really is in them."""
    entries = archive.infolist()
    if len(entries) > FILES:
        raise WrongPackage(f"The package has more than {FILES} files")
    problems = [problem for entry in entries if (problem := _problem_of(entry))]
    if not problems:  # then all of them have names
        is_folder = {PurePosixPath(entry.filename): entry.is_dir() for entry in entries}
        problems = _clashes(is_folder, len(entries))
    if problems:
        raise WrongPackage(*problems[:_PROBLEMS])
    files: dict[PurePosixPath, bytes] = {}
    left = UNPACKED
    for entry in entries:
        if not entry.is_dir():
            content = _inflate(archive, entry, left)
            left -= len(content)
            files[PurePosixPath(entry.filename)] = content
    return files


def _problem_of(entry: zipfile.ZipInfo) -> str | None:
    """What is wrong with the name and the kind of an entry."""
    name = entry.filename
    shown = ascii(name[:100])
    parts = name.removesuffix("/").split("/")
    kind = stat.S_IFMT(entry.external_attr >> 16)
    # Where a zip says nothing of its names, its reader takes them for a code page of 1981.
    if not entry.flag_bits & _UTF8 and not name.isascii():
        return f"{shown}: the name is not UTF-8"
    # `orig_filename` is what stands in the zip: its reader cuts names at a zero.
    if entry.orig_filename != name or "\\" in name or not name.isprintable():
        return f"{shown}: the name has characters that names do not have"
    if name.startswith("/") or ":" in parts[0] or any(part in ("", ".", "..") for part in parts):
        return f"{shown}: the name leads out of the package"
    if len(name.encode()) > _LONGEST_PATH or len(parts) > _DEEPEST:
        return f"{shown}: the name is too long"
    if kind not in (0, stat.S_IFDIR if entry.is_dir() else stat.S_IFREG):
        return f"{shown}: a link or a device, and no file"
    if entry.flag_bits & _ENCRYPTED:
        return f"{shown}: the file is encrypted"
    if entry.compress_type not in _METHODS:
        return f"{shown}: the file is packed in a way that is not supported"
    return None


def _clashes(is_folder: Mapping[PurePosixPath, bool], entries: int) -> list[str]:
    """Names that would be one file, here or on another machine, and files that are also folders."""
    problems = []
    if len(is_folder) < entries:
        problems.append("Two files of the package have one name")
    seen = {_folded(path): path for path in is_folder}
    if len(seen) < len(is_folder):
        problems.append("Two files of the package differ only in the case of letters")
    for folder in {parent for path in is_folder for parent in path.parents}:
        spelled = seen.setdefault(_folded(folder), folder)
        if spelled != folder:
            problems.append(f"{str(folder)!a}: is also spelled {str(spelled)!a}")
        elif not is_folder.get(folder, True):
            problems.append(f"{str(folder)!a}: is a file and a folder")
    return problems


def _folded(path: PurePosixPath) -> str:
    """A name as file systems that know no case and one form of letters see it."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", str(path)).casefold())


def _inflate(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, left: int) -> bytes:
    """The content of a file. Stops as soon as it is more than `left` bytes, whatever its header
    says of its size."""
    content = bytearray()
    with archive.open(entry) as file:
        while chunk := file.read(_CHUNK):
            content += chunk
            if len(content) > left:
                raise WrongPackage(f"The files of the package have more than {UNPACKED} bytes")
    return bytes(content)


def _without_top_folder(files: dict[PurePosixPath, bytes]) -> dict[PurePosixPath, bytes]:
    """The files below the one folder that everything lies in, when that has the manifest."""
    tops = {path.parts[0] for path in files}
    if len(tops) != 1 or PurePosixPath(*tops, manifest.FILE) not in files:
        return files
    return {path.relative_to(*tops): data for path, data in files.items()}


def _manifest(files: Mapping[PurePosixPath, bytes]) -> Manifest:
    data = files.get(PurePosixPath(manifest.FILE))
    if data is None:
        raise WrongPackage(f"The package has no {manifest.FILE}")
    try:
        return Manifest.parse(data.decode())
    except UnicodeDecodeError as error:
        raise WrongPackage(f"{manifest.FILE} is not UTF-8") from error
    except WrongManifest as error:
        raise WrongPackage(*(f"{manifest.FILE}: {line}" for line in error.problems)) from error
