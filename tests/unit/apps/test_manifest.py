"""What a manifest may say, and what is told of one that is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from hubbub.apps.manifest import LARGEST, Manifest, WrongManifest, WrongSettings, read

WHOLE = """
id = "incoming-events"
name = "Incoming events"
version = "1.10.0"
description = "Tells a room what happened elsewhere."
hubbub = "0.1"
permissions = ["command", "endpoint", "message.send", "network"]
hosts = ["api.example.org:443", "localhost:8080"]

[settings.secret]
type = "secret"
required = true

[settings.color]
type = "select"
options = ["red", "blue"]
default = "red"

[settings.count]
type = "number"
default = 5

[settings.loud]
type = "boolean"
default = false

[commands.events]
description = "What happened lately"
params = "[how many]"
permission = "view-history"

[endpoints.events]
path = "/events"
methods = ["POST", "PUT"]

[limits]
memory_megabytes = 64
"""

LEAST = """
id = "anapp"
name = "A"
version = "0.0.1"
"""


def test_a_whole_one() -> None:
    manifest = Manifest.parse(WHOLE)
    assert manifest.package_name == "incoming_events"
    assert manifest.commands["events"].permission == "view-history"
    assert manifest.endpoints["events"].methods == ["POST", "PUT"]
    assert manifest.limits.memory_megabytes == 64


def test_the_least() -> None:
    manifest = Manifest.parse(LEAST)
    assert manifest.permissions == []
    assert manifest.limits.memory_megabytes == 256
    assert Manifest.parse(LEAST + 'package = "other"').package_name == "other"


def changed(**lines: str) -> str:
    """The least one with some lines instead of its own."""
    own = {"id": '"anapp"', "name": '"A"', "version": '"0.0.1"'} | lines
    return "\n".join(f"{key} = {value}" for key, value in own.items())


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("id = ", "not TOML"),
        ('id = "anapp"', "name: Field required"),
        (changed(id='"Abc"'), "id:"),
        (changed(id='"ab"'), "id:"),
        (changed(id='"a-"'), "id:"),
        (changed(id='"../x"'), "id:"),
        (changed(id='"abc\\n"'), "id:"),
        (changed(id='"' + "a" * 41 + '"'), "id:"),
        (changed(id='"hubbub"'), "cannot be called 'hubbub'"),
        (changed(id="5"), "id:"),
        (changed(name='""'), "name:"),
        (changed(name='"a\\u0000"'), "name:"),
        (changed(version='"1.0"'), "version:"),
        (changed(version='"1.0.0-rc"'), "version:"),
        (changed(version='"01.0.0"'), "version:"),
        (changed(hubbub='"new"'), "hubbub:"),
        (changed(package='"os.path"'), "package:"),
        (changed(package='"asyncio"'), "cannot be called 'asyncio'"),
        (changed(package='"services"'), "cannot be called 'services'"),
        (changed(permissions='["message.send", "root"]'), "there is no root"),
        (changed(permissions='["store", "store"]'), "named twice"),
        (changed(permissions='["room.read-all"]'), "has none"),
        (changed(hosts='["a.org:443"]'), "needs the permission 'network'"),
        (changed(permissions='["network"]', hosts='["a.org"]'), "'a.org' is not"),
        (changed(permissions='["network"]', hosts='["*.org:443"]'), "'*.org:443' is not"),
        (changed(permissions='["network"]', hosts='["a.org:65536"]'), "'a.org:65536' is not"),
        (changed(permissions='["network"]', hosts='["https://a.org:443"]'), "is not"),
        (changed(permissions='["network"]', hosts='["a.org:443\\n"]'), "is not"),
        (LEAST + "[commands.x]", "needs the permission 'command'"),
        (LEAST + '[endpoints.x]\npath="/x"', "needs the permission 'endpoint'"),
        (LEAST + 'permissions=["endpoint"]\n[endpoints.x]\npath="x"', "begins with /"),
        (LEAST + 'permissions=["endpoint"]\n[endpoints.x]\npath="/../x"', "begins with /"),
        (
            LEAST + 'permissions=["endpoint"]\n[endpoints.x]\npath="/x"\nmethods=["TRACE"]',
            "methods",
        ),
        (LEAST + 'permissions=["endpoint"]\n[endpoints.x]\npath="/x"\nmethods=[]', "methods"),
        (
            LEAST + 'permissions=["endpoint"]\n[endpoints]\nx={path="/x"}\ny={path="/x"}',
            "two endpoints have one path",
        ),
        (LEAST + 'permissions=["command"]\n[commands."a b"]', "commands.a b"),
        (LEAST + "[limits]\nmemory_megabytes=257", "limits.memory_megabytes:"),
        (LEAST + '[limits]\nmemory_megabytes="64"', "limits.memory_megabytes:"),
        (LEAST + "[limits]\nfiles=64", "limits.files: Extra inputs"),
        (LEAST + "[setings.x]", "setings: Extra inputs"),
        (LEAST + '[settings.x]\ntype="date"', "settings.x.type:"),
        (LEAST + '[settings.x]\ntype="select"', "a select has options"),
        (LEAST + '[settings.x]\ntype="string"\noptions=["a"]', "a select has options"),
        (LEAST + '[settings.x]\ntype="secret"\ndefault="a"', "a secret has no default"),
        (LEAST + '[settings.x]\ntype="number"\ndefault="a"', "default: not a number"),
        (LEAST + '[settings.x]\ntype="number"\ndefault=true', "default: not a number"),
        (LEAST + '[settings.x]\ntype="number"\ndefault=nan', "default: not a number"),
        (LEAST + '[settings.x]\ntype="boolean"\ndefault=1', "default: not true or false"),
        (LEAST + "a=" + "[" * 3000, "not TOML"),
        ("#" * (LARGEST + 1), "longer than"),
    ],
)
def test_a_wrong_one_is_told_with_its_place(text: str, told: str) -> None:
    with pytest.raises(WrongManifest) as raised:
        Manifest.parse(text)
    assert told in str(raised.value)


def test_all_that_is_wrong_is_told_at_once() -> None:
    with pytest.raises(WrongManifest) as raised:
        Manifest.parse(changed(id='"A"', version='"1"', permissions='["root"]'))
    assert len(raised.value.problems) == 3


def test_one_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(WrongManifest, match=r"app\.toml cannot be read"):
        read(tmp_path)
    path = tmp_path / "app.toml"
    path.write_bytes(b"\xff")
    with pytest.raises(WrongManifest, match="not UTF-8"):
        read(tmp_path)
    path.write_text("#" * (LARGEST + 1))
    with pytest.raises(WrongManifest, match="larger"):
        read(tmp_path)
    path.write_text(WHOLE)
    assert read(tmp_path).id == "incoming-events"


@pytest.mark.parametrize(
    ("needs", "version", "runs"),
    [
        ("0.1", "0.1.0", True),
        ("0.1", "0.1.0.dev3", True),
        ("0.2", "0.1.9", False),
        ("0.10", "0.9.0", False),
        ("1", "0.99.99", False),
        ("0.1.1", "0.1.0", False),
        ("0.1", "unknown", False),
    ],
)
def test_which_hubbub_it_runs_on(needs: str, version: str, runs: bool) -> None:
    assert Manifest.parse(changed(hubbub=f'"{needs}"')).runs_on(version) is runs


def test_values_of_settings() -> None:
    manifest = Manifest.parse(WHOLE)
    values = manifest.effective({"secret": "s", "loud": True, "count": None})
    assert values == {"secret": "s", "color": "red", "count": 5, "loud": True}
    assert manifest.start(values) == {
        "app": "incoming-events",
        "version": "1.10.0",
        "permissions": ["command", "endpoint", "message.send", "network"],
        "commands": ["events"],
        "endpoints": ["events"],
        "settings": values,
    }


@pytest.mark.parametrize(
    ("given", "wrong"),
    [
        ({}, {"secret": "a value is required"}),
        ({"secret": ""}, {"secret": "a value is required"}),
        ({"secret": 5}, {"secret": "not a text"}),
        ({"secret": "x" * 20_000}, {"secret": "longer than 16384"}),
        ({"secret": "s", "other": 1}, {"other": "there is no such setting"}),
        ({"secret": "s", "color": "green"}, {"color": "not one of red, blue"}),
        ({"secret": "s", "color": ["red"]}, {"color": "not one of red, blue"}),
        ({"secret": "s", "count": "5"}, {"count": "not a number"}),
        ({"secret": "s", "count": float("inf")}, {"count": "not a number"}),
        ({"secret": "s", "count": 10**400}, {"count": "not a number"}),
        ({"secret": "s", "loud": "yes"}, {"loud": "not true or false"}),
    ],
)
def test_wrong_values_of_settings(given: dict[str, object], wrong: dict[str, str]) -> None:
    with pytest.raises(WrongSettings) as raised:
        Manifest.parse(WHOLE).effective(given)
    assert raised.value.problems == wrong
