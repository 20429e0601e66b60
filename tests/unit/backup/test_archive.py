"""The file of a copy: what went in comes out, and damage is said in one line."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import bson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hubbub.backup.archive import MANIFEST, PARTIAL, Archive, Writer, verify
from hubbub.backup.manifest import (
    FORMAT,
    BackupFailed,
    ClusterTime,
    Copied,
    Manifest,
    Shape,
)
from hubbub.cli.main import main

USERS = [{"_id": f"u{number}", "username": f"ana{number}"} for number in range(300)]
ROOMS = [{"_id": "GENERAL", "topic": "x" * 3_000_000}, {"_id": "other"}]
ODD = "odd/../name $%"
"""A name that MongoDB allows for a collection."""


def encoded(documents: Iterable[dict[str, Any]]) -> bytes:
    return b"".join(bson.encode(document) for document in documents)


def manifest(collections: list[Copied]) -> Manifest:
    return Manifest(
        format=FORMAT,
        hubbub="1.2.3",
        mongodb="6.0.5",
        database="hubbub",
        made="2026-01-01T00:00:00+00:00",
        cluster_time=ClusterTime(seconds=1_767_225_600, number=3),
        left_out=[],
        collections=collections,
    )


def write(path: Path) -> Manifest:
    copied = []
    with Writer(path) as writer:
        for name, documents in (("users", USERS), ("rooms", ROOMS), (ODD, []), ("one", ROOMS[1:])):
            with writer.collection(Shape(name=name)) as member:
                for document in documents:
                    member.add(encoded([document]))
                copied.append(member.copied)
        written = manifest(copied)
        writer.finish(written)
    return written


def contents(path: Path) -> dict[str, list[dict[str, Any]]]:
    with Archive.opened(path) as archive:
        return {
            copied.name: [bson.decode(document) for document in archive.documents(copied)]
            for copied in archive.manifest.collections
        }


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "a.backup"
    write(path)
    return path


def rewritten(path: Path, change: Callable[[str, bytes], bytes | None]) -> None:
    """Make a valid ZIP again of what `change` leaves of each of its files."""
    with zipfile.ZipFile(path) as before:
        files = [(name, change(name, before.read(name))) for name in before.namelist()]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as after:
        for name, content in files:
            if content is not None:
                after.writestr(name, content)


def test_what_went_in_comes_out(tmp_path: Path) -> None:
    """Documents larger than a piece, too; only the owner may read the file."""
    path = tmp_path / "a.backup"
    written = write(path)

    assert verify(path) == written
    assert contents(path) == {"users": USERS, "rooms": ROOMS, ODD: [], "one": ROOMS[1:]}
    assert (written.count, written.size) == (303, len(encoded([*USERS, *ROOMS, *ROOMS[1:]])))
    assert path.stat().st_mode & 0o777 == 0o600
    assert [one.name for one in tmp_path.iterdir()] == [path.name]


def test_other_programs_can_read_it(file: Path, tmp_path: Path) -> None:
    """It is a ZIP of the files that `mongodump` writes; no name leads out of its folder."""
    with zipfile.ZipFile(file) as archive:
        assert archive.testzip() is None
        archive.extractall(tmp_path / "out")

    with (tmp_path / "out" / "collections" / "users.bson").open("rb") as users:
        assert list(bson.decode_file_iter(users)) == USERS
    documents = [one for one in tmp_path.rglob("*.bson") if one.is_file()]
    assert {one.parent for one in documents} == {tmp_path / "out" / "collections"}
    assert len(documents) == 4


def test_what_is_not_finished_leaves_nothing(tmp_path: Path) -> None:
    """Whatever the reason; in between the file has another name."""
    path = tmp_path / "a.backup"
    with Writer(path) as writer:
        with writer.collection(Shape(name="users")) as member:
            member.add(encoded(USERS))
        assert [one.name for one in tmp_path.iterdir()] == [path.name + PARTIAL]

    assert list(tmp_path.iterdir()) == []


def test_a_cut_document_is_not_written(tmp_path: Path) -> None:
    complaint = pytest.raises(BackupFailed, match="a document of users was not read whole")
    with (
        Writer(tmp_path / "a") as writer,
        writer.collection(Shape(name="users")) as member,
        complaint,
    ):
        member.add(encoded(USERS)[:-1])


def test_nothing_is_overwritten(file: Path, tmp_path: Path) -> None:
    before = file.read_bytes()

    with pytest.raises(BackupFailed, match="is there already"):
        write(file)
    with pytest.raises(BackupFailed, match="there is no folder"):
        write(tmp_path / "missing" / "a.backup")
    assert file.read_bytes() == before


def test_nor_is_what_came_meanwhile(tmp_path: Path) -> None:
    path = tmp_path / "a.backup"
    with Writer(path) as writer:
        path.write_text("somebody else's")
        with pytest.raises(BackupFailed, match="is there already"):
            writer.finish(manifest([]))

    assert path.read_text() == "somebody else's"


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[500] ^= 0x10  # among the users
    path.write_bytes(content)


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-2000])


def _other(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("holiday.jpg", b"x")


def _newer(path: Path) -> None:
    def change(name: str, content: bytes) -> bytes:
        return b'{"format": 7, "sections": []}' if name == MANIFEST else content

    rewritten(path, change)


def _no_manifest_json(path: Path) -> None:
    rewritten(path, lambda name, content: b"{" if name == MANIFEST else content)


def _manifest_without(path: Path) -> None:
    def change(name: str, content: bytes) -> bytes:
        if name != MANIFEST:
            return content
        found = json.loads(content)
        del found["collections"][1]["sha256"]
        return json.dumps(found).encode()

    rewritten(path, change)


def _other_text(path: Path) -> None:
    rewritten(path, lambda name, content: content.replace(b"ana7", b"eve7"))


def _one_less(path: Path) -> None:
    gone = bson.encode(USERS[-1])
    rewritten(path, lambda name, content: content.replace(gone, b""))


def _cut_document(path: Path) -> None:
    rewritten(path, lambda name, content: content[:-3] if "users" in name else content)


def _no_users(path: Path) -> None:
    rewritten(path, lambda name, content: None if "users" in name else content)


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        pytest.param(_flip, "is damaged", id="a bit flipped"),
        pytest.param(_cut, "no backup, or its end is missing", id="cut off"),
        pytest.param(lambda path: path.write_bytes(b""), "no backup, or its end", id="empty"),
        pytest.param(lambda path: path.write_text("soup" * 999), "no backup", id="a text"),
        pytest.param(_other, "is a ZIP file, but no backup of Hubbub", id="another ZIP"),
        pytest.param(_newer, "has format 7, and this Hubbub reads format 1", id="newer"),
        pytest.param(_no_manifest_json, "its manifest.json is not JSON", id="no JSON"),
        pytest.param(_manifest_without, "collections.1.sha256 in its manifest", id="a field gone"),
        pytest.param(_other_text, "the checksum of users is another one", id="altered"),
        pytest.param(_one_less, "users has 299 documents of", id="a document less"),
        pytest.param(_cut_document, "the last document of users is cut off", id="cut document"),
        pytest.param(_no_users, "the documents of users are missing", id="a file less"),
        pytest.param(lambda path: path.unlink(), "there is no file", id="no file"),
    ],
)
def test_damage_is_one_line(
    damage: Callable[[Path], object],
    complaint: str,
    file: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Of the command, too: on standard error, with status 1."""
    damage(file)

    with pytest.raises(BackupFailed) as found:
        verify(file)
    assert complaint in str(found.value)
    assert main(["backup", "verify", str(file)]) == 1
    out, said = capsys.readouterr()
    assert out == ""
    assert said == f"hubbub: {found.value}\n"


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("small") / "a.backup"
    with Writer(path) as writer:
        with writer.collection(Shape(name="users")) as member:
            member.add(encoded(USERS[:20]))
            copied = member.copied
        writer.finish(manifest([copied]))
    return path


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(where=st.floats(0, 1, exclude_max=True), bits=st.integers(1, 255))
def test_no_flipped_byte_changes_what_is_read(
    small: Path, tmp_path: Path, where: float, bits: int
) -> None:
    """Either it is noticed, or it was in a place that says nothing of the documents."""
    content = bytearray(small.read_bytes())
    content[int(where * len(content))] ^= bits
    path = tmp_path / "flipped"
    path.write_bytes(content)

    try:
        found = contents(path)
    except BackupFailed:
        return
    assert found == {"users": USERS[:20]}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(where=st.floats(0, 1, exclude_max=True))
def test_every_cut_is_noticed(small: Path, tmp_path: Path, where: float) -> None:
    content = small.read_bytes()
    path = tmp_path / "cut"
    path.write_bytes(content[: int(where * len(content))])

    with pytest.raises(BackupFailed):
        verify(path)


def test_a_whole_one_is_told_of(small: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """For people in a line, for programs as JSON."""
    assert main(["backup", "verify", str(small)]) == 0
    said = capsys.readouterr().out
    assert "is whole: 20 documents in 1 collections" in said
    assert "as of 2026-01-01 00:00:00 UTC" in said

    assert main(["backup", "verify", str(small), "--json"]) == 0
    told = json.load(io.StringIO(capsys.readouterr().out))
    assert told["collections"][0]["count"] == 20
