"""The file of a copy: a ZIP with one file of BSON documents per collection, and a manifest.

`unzip -l` lists it and `bsondump` reads what it holds. Only pieces are held in memory: a little
more than one document of the largest size. While it is written it has another name.
"""

from __future__ import annotations

import hashlib
import os
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Final

import orjson
from pydantic import ValidationError

from hubbub.backup.manifest import FORMAT, BackupFailed, Copied, Manifest, Shape

MANIFEST: Final = "manifest.json"
PARTIAL: Final = ".partial"
"""Behind the name of a file that is still written."""

_LEVEL = 1  # of compression: a server remembers a moment for minutes, so time is what counts
_PIECE = 1 << 20  # bytes read at once
_LARGEST = 17 << 20  # bytes; MongoDB's documents have 16 MiB and a little
_SMALLEST = 5  # bytes: a document without fields


class Writer:
    """Writes one archive. Without `finish` nothing is left of it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._partial = path.with_name(path.name + PARTIAL)

    def __enter__(self) -> Writer:
        """Raises: BackupFailed: the file is there, or cannot be made."""
        if self._path.exists():
            raise BackupFailed(_THERE.format(self._path))
        if not self._path.parent.is_dir():
            raise BackupFailed(f"there is no folder {self._path.parent}")
        with _explained(self._partial):
            # The copy holds password hashes and everybody's messages.
            flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC
            self._file = os.fdopen(os.open(self._partial, flags, 0o600), "w+b")
        self._zip = zipfile.ZipFile(
            self._file, "w", zipfile.ZIP_DEFLATED, allowZip64=True, compresslevel=_LEVEL
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with suppress(OSError, ValueError):  # what cannot be written is thrown away anyway
            self._zip.close()
        self._file.close()
        self._partial.unlink(missing_ok=True)

    @contextmanager
    def collection(self, shape: Shape) -> Iterator[Member]:
        """Add the documents of one collection, one collection after the other."""
        empty = Copied(**shape.model_dump(), count=0, size=0, sha256="")
        file = self._zip.open(empty.file, "w", force_zip64=True)
        try:
            yield Member(shape, file, self._partial)
        finally:
            with _explained(self._partial):
                file.close()

    def finish(self, manifest: Manifest) -> None:
        """Give the file its table of contents, and its name. It is on the disk afterwards.

        Raises: BackupFailed: the disk is full, or somebody else made a file of that name.
        """
        with _explained(self._partial):
            self._zip.writestr(MANIFEST, manifest.model_dump_json(indent=2))
            self._zip.close()
            self._file.flush()
            os.fsync(self._file.fileno())
            if self._path.exists():
                raise BackupFailed(_THERE.format(self._path))
            self._partial.rename(self._path)


class Member:
    """The documents of one collection, while they are written."""

    def __init__(self, shape: Shape, file: IO[bytes], path: Path) -> None:
        self._shape = shape
        self._file = file
        self._path = path
        self._hash = hashlib.sha256()
        self._count = 0
        self._size = 0

    def add(self, documents: bytes) -> None:
        """Write whole documents, one behind the other. Blocks. Raises: BackupFailed."""
        at = 0
        while at < len(documents):
            end = _end(documents, at)
            if end == 0:
                raise BackupFailed(f"a document of {self._shape.name} was not read whole")
            self._count += 1
            at = end
        self._size += len(documents)
        self._hash.update(documents)
        with _explained(self._path):
            self._file.write(documents)

    @property
    def copied(self) -> Copied:
        """What was written until now."""
        return Copied(
            **self._shape.model_dump(),
            count=self._count,
            size=self._size,
            sha256=self._hash.hexdigest(),
        )


class Archive:
    """An archive to read from."""

    def __init__(self, path: Path, opened: zipfile.ZipFile, manifest: Manifest) -> None:
        self._path = path
        self._zip = opened
        self.manifest = manifest

    @classmethod
    @contextmanager
    def opened(cls, path: Path) -> Iterator[Archive]:
        """Raises: BackupFailed: it is no archive, not a whole one, or of another format."""
        with _explained(path):
            opened = zipfile.ZipFile(path)
        with opened:
            with _explained(path):
                if MANIFEST not in opened.namelist():
                    raise BackupFailed(f"{path} is a ZIP file, but no backup of Hubbub")
                text = opened.read(MANIFEST)
            yield cls(path, opened, _manifest(path, text))

    def documents(self, copied: Copied) -> Iterator[bytes]:
        """The documents of a collection, in the order in which they were copied.

        Raises:
            BackupFailed: they are not those that were copied. Some may have been given before.
        """
        with _explained(self._path):
            yield from self._documents(copied)

    def _documents(self, copied: Copied) -> Iterator[bytes]:
        if copied.file not in self._zip.namelist():
            raise self._damaged(f"the documents of {copied.name} are missing")
        found = hashlib.sha256()
        count = size = 0
        rest = b""
        with self._zip.open(copied.file) as file:
            while piece := file.read(_PIECE):
                found.update(piece)
                size += len(piece)
                held, at = rest + piece, 0
                while end := _end(held, at):
                    yield held[at:end]
                    count += 1
                    at = end
                rest = held[at:]
                if len(rest) > _LARGEST:
                    raise self._damaged(f"{copied.name} holds what is no document")
        if rest:
            raise self._damaged(f"the last document of {copied.name} is cut off")
        if (count, size) != (copied.count, copied.size):
            raise self._damaged(
                f"{copied.name} has {count} documents of {size} bytes, "
                f"not {copied.count} of {copied.size}"
            )
        if found.hexdigest() != copied.sha256:
            raise self._damaged(f"the checksum of {copied.name} is another one")

    def _damaged(self, what: str) -> BackupFailed:
        return BackupFailed(f"{self._path} is damaged: {what}")


def verify(path: Path) -> Manifest:
    """Read all of an archive; what it says of itself. Raises: BackupFailed: it is damaged."""
    with Archive.opened(path) as archive:
        for copied in archive.manifest.collections:
            for _ in archive.documents(copied):
                pass
        return archive.manifest


def _manifest(path: Path, text: bytes) -> Manifest:
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError:
        raise BackupFailed(f"{path} is damaged: its {MANIFEST} is not JSON") from None
    written = found.get("format") if isinstance(found, dict) else None
    if written != FORMAT:
        raise BackupFailed(
            f"{path} has format {written!r}, and this Hubbub reads format {FORMAT}: "
            "use the version of Hubbub that wrote it"
        )
    try:
        return Manifest.model_validate(found)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        where = ".".join(map(str, problem["loc"]))
        raise BackupFailed(
            f"{path} is damaged: {where} in its {MANIFEST}: {problem['msg']}"
        ) from None


def _end(held: bytes, at: int) -> int:
    """Where the document that begins at `at` ends; 0 when not all of it is there."""
    length = int.from_bytes(held[at : at + 4], "little")
    end = at + length
    whole = len(held) - at >= _SMALLEST and _SMALLEST <= length <= _LARGEST and end <= len(held)
    return end if whole and held[end - 1] == 0 else 0


_THERE = "{} is there already: name another file"


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Say in one line what is wrong with a file."""
    try:
        yield
    except FileNotFoundError:
        raise BackupFailed(f"there is no file {path}") from None
    except zipfile.BadZipFile as error:
        if zipfile.is_zipfile(path):
            raise BackupFailed(f"{path} is damaged: {error}") from None
        raise BackupFailed(
            f"{path} is no backup, or its end is missing: was it cut off when it was copied?"
        ) from None
    except (zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise BackupFailed(f"{path} is damaged: {error}") from None
    except OSError as error:
        raise BackupFailed(f"{path}: {error.strerror or error}") from None
