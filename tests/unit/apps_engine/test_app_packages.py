"""Uploaded packages: what is accepted, and everything that a zip can be instead."""

from __future__ import annotations

import hashlib
import io
import stat
import struct
import tracemalloc
import warnings
import zipfile
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.apps_engine import packages
from services.apps_engine.packages import WrongPackage

_MANIFEST = b'id = "greeter"\nname = "Greeter"\nversion = "1.0.0"\n'
_GOOD = {"app.toml": _MANIFEST, "greeter/__init__.py": b"HELLO = 1\n"}


def _entry(name: str, mode: int = stat.S_IFREG | 0o644) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, (2026, 1, 1, 0, 0, 0))
    entry.filename = name  # also what the constructor would have changed
    entry.external_attr = mode << 16
    entry.compress_type = zipfile.ZIP_DEFLATED
    return entry


def _zip(files: dict[str, bytes] | None = None, *more: tuple[zipfile.ZipInfo, bytes]) -> bytes:
    target = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of names that are there twice
        with zipfile.ZipFile(target, "w") as archive:
            for name, data in (_GOOD if files is None else files).items():
                archive.writestr(_entry(name), data)
            for entry, data in more:
                archive.writestr(entry, data)
    return target.getvalue()


def _problems(data: bytes) -> list[str]:
    with pytest.raises(WrongPackage) as caught:
        packages.read(data)
    return caught.value.problems


def test_a_package_is_its_manifest_its_files_and_a_digest() -> None:
    data = _zip()

    package = packages.read(data)

    assert package.manifest.id == "greeter"
    assert package.digest == hashlib.sha256(data).hexdigest()
    assert {str(path): content for path, content in package.files.items()} == _GOOD


def test_everything_may_lie_in_one_folder() -> None:
    inside = packages.read(_zip({f"greeter-1.0.0/{name}": data for name, data in _GOOD.items()}))

    assert {str(path) for path in inside.files} == set(_GOOD)


def test_folders_may_have_entries_of_their_own() -> None:
    data = _zip(None, (_entry("greeter/", stat.S_IFDIR | 0o755), b""))

    assert {str(path) for path in packages.read(data).files} == set(_GOOD)


@pytest.mark.parametrize(
    "name",
    [
        "../evil.py",
        "greeter/../../evil.py",
        "/etc/passwd",
        "//etc/passwd",
        "C:/evil.py",
        "./app.py",
        "greeter//x.py",
        "..",
        "greeter/..",
    ],
)
def test_names_that_lead_out_are_refused(name: str) -> None:
    assert "the name leads out" in _problems(_zip(None, (_entry(name), b"x")))[0]


@pytest.mark.parametrize("name", ["..\\evil.py", "greeter\\x.py", "a\nb", "a\x1b[2J", "\u202exyz"])
def test_names_with_other_characters_are_refused(name: str) -> None:
    assert "characters that names do not have" in _problems(_zip(None, (_entry(name), b"x")))[0]


def test_a_name_with_a_zero_is_refused() -> None:
    data = _zip(None, (_entry("greeter/x.py_____"), b"x")).replace(b"x.py_____", b"x.py\0.txt")

    assert "characters that names do not have" in _problems(data)[0]


@pytest.mark.parametrize("name", ["", "_____"])
def test_an_entry_without_a_name_is_refused(name: str) -> None:
    data = _zip(None, (_entry(name), b"x")).replace(b"_____", b"\0.txt")

    assert "the name" in _problems(data)[0]


def test_a_name_that_is_no_utf8_is_refused() -> None:
    claimed = _zip(None, (_entry("greeter/ä.py"), b"x")).replace("ä".encode(), b"\xff\xfe")
    unclaimed = _zip(None, (_entry("greeter/__.py"), b"x")).replace(b"__.py", b"\xe4_.py")

    assert _problems(claimed) == ["A name in the package is not UTF-8"]
    assert "the name is not UTF-8" in _problems(unclaimed)[0]


@pytest.mark.parametrize("name", ["x" * 300, "/".join("x" * 20)])
def test_long_names_are_refused(name: str) -> None:
    assert "too long" in _problems(_zip(None, (_entry(name), b"x")))[0]


@pytest.mark.parametrize(
    "kind", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO, stat.S_IFSOCK, stat.S_IFDIR]
)
def test_links_and_devices_are_refused(kind: int) -> None:
    data = _zip(None, (_entry("greeter/passwd", kind | 0o777), b"/etc/passwd"))

    assert _problems(data) == ["'greeter/passwd': a link or a device, and no file"]


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("greeter/__init__.py", "one name"),
        ("Greeter/__init__.py", "case of letters"),
        ("greeter/__INIT__.py", "case of letters"),
        ("GREETER/other.py", "is also spelled"),
        ("greeter/__init__.py/x.py", "is a file and a folder"),
        ("app.toml/x", "is a file and a folder"),
    ],
)
def test_names_that_clash_are_refused(name: str, problem: str) -> None:
    assert any(problem in one for one in _problems(_zip(None, (_entry(name), b"x"))))


def test_names_that_differ_in_their_form_of_letters_clash() -> None:
    data = _zip(None, (_entry("greeter/\u00e9.py"), b""), (_entry("greeter/e\u0301.py"), b""))

    assert any("case of letters" in one for one in _problems(data))


def test_too_many_files_are_refused() -> None:
    data = _zip(None, *((_entry(f"greeter/{number}.py"), b"") for number in range(999)))

    assert _problems(data) == ["The package has more than 1000 files"]


def test_a_large_zip_is_refused_unread() -> None:
    assert _problems(bytes(5 * 1024 * 1024 + 1)) == ["The package has more than 5242880 bytes"]


def test_a_bomb_is_stopped_while_it_inflates() -> None:
    bomb = (_entry("greeter/zeros"), bytes(200 * 1024 * 1024))
    data = _zip(None, bomb)
    assert len(data) < 300 * 1024

    tracemalloc.start()
    problems = _problems(data)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert problems == ["The files of the package have more than 20971520 bytes"]
    assert peak < 64 * 1024 * 1024


def test_many_small_bombs_count_together() -> None:
    mebibyte = bytes(1024 * 1024)
    data = _zip(None, *((_entry(f"greeter/{number}"), mebibyte) for number in range(21)))

    assert "more than 20971520 bytes" in _problems(data)[0]


def test_a_header_that_lies_of_the_size_is_not_believed() -> None:
    whole = bytearray(_zip(None, (_entry("greeter/zeros"), bytes(30 * 1024 * 1024))))
    true, false = (struct.pack("<I", size) for size in (30 * 1024 * 1024, 10))
    data = bytes(whole.replace(true, false))

    assert "not a zip that can be read" in _problems(data)[0]


def test_encrypted_files_are_refused() -> None:
    data = bytearray(_zip())
    data[data.find(b"PK\x01\x02") + 8] |= 1

    assert "encrypted" in _problems(bytes(data))[0]


def test_other_ways_of_packing_are_refused() -> None:
    entry = _entry("greeter/x")
    entry.compress_type = zipfile.ZIP_LZMA

    assert "not supported" in _problems(_zip(None, (entry, b"x")))[0]


@pytest.mark.parametrize("data", [b"", b"PK", b"not a zip", b"PK\x05\x06" + bytes(18)])
def test_what_is_no_package_is_refused(data: bytes) -> None:
    assert _problems(data)


@given(st.data())
def test_a_damaged_zip_is_refused_or_whole(data: st.DataObject) -> None:
    whole = bytearray(_zip())
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    try:
        package = packages.read(bytes(whole))
    except WrongPackage:
        return
    assert package.manifest.id == "greeter"
    assert all(".." not in path.parts and not path.is_absolute() for path in package.files)


def test_a_package_without_a_manifest_is_refused() -> None:
    assert _problems(_zip({"greeter/__init__.py": b""})) == ["The package has no app.toml"]


def test_what_is_wrong_with_the_manifest_is_told_with_the_field() -> None:
    problems = _problems(_zip({**_GOOD, "app.toml": _MANIFEST + b'permissions = ["rule"]\n'}))

    assert len(problems) == 1
    assert problems[0].startswith("app.toml: permissions: there is no rule")


def test_a_manifest_that_is_no_utf8_is_refused() -> None:
    assert _problems(_zip({**_GOOD, "app.toml": b"\xff"})) == ["app.toml is not UTF-8"]


def test_a_package_without_its_folder_is_refused() -> None:
    assert "no folder greeter" in _problems(_zip({"app.toml": _MANIFEST}))[0]


def test_files_are_written_for_reading_only(tmp_path: Path) -> None:
    folder = tmp_path / "apps" / "greeter"

    packages.write(packages.read(_zip()), folder)

    assert {str(path.relative_to(folder)) for path in folder.rglob("*")} == {
        "app.toml",
        "greeter",
        "greeter/__init__.py",
    }
    for path in (folder, *folder.rglob("*")):
        assert not path.stat().st_mode & 0o222
    assert list(folder.parent.iterdir()) == [folder]
    packages.remove(folder)
    assert not folder.exists()


def test_another_version_takes_the_place_of_the_first(tmp_path: Path) -> None:
    folder = tmp_path / "greeter"
    packages.write(packages.read(_zip({**_GOOD, "greeter/old.py": b""})), folder)
    packages.write(packages.read(_zip()), folder)

    assert not (folder / "greeter" / "old.py").exists()
    assert (folder / "greeter" / "__init__.py").read_bytes() == b"HELLO = 1\n"
    packages.remove(folder)


def test_nothing_is_left_of_a_package_that_cannot_be_written(tmp_path: Path) -> None:
    whole = packages.read(_zip())
    # A disk that ends: a file where a folder has to be.
    broken = packages.Package(
        whole.manifest, whole.digest, {**whole.files, PurePosixPath("app.toml", "x"): b""}
    )

    with pytest.raises(OSError, match=r"app\.toml"):
        packages.write(broken, tmp_path / "greeter")

    assert list(tmp_path.iterdir()) == []
