"""Settings are read once, validated, and explain themselves when they are wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import SettingsConfigDict

from hubbub.settings import Settings, WrongSettings, load, variable_name


class KitchenSettings(Settings):
    model_config = SettingsConfigDict(env_prefix="HUBBUB_KITCHEN_")

    ovens: int = Field(default=2, ge=1)
    """How many ovens."""
    password: SecretStr = SecretStr("")
    """Opens the pantry."""
    dishes: tuple[str, ...] = ()
    """What is cooked."""


def test_defaults_stand_without_variables() -> None:
    """Nothing has to be set."""
    assert load(KitchenSettings).ovens == 2


def test_a_variable_sets_a_field(monkeypatch: pytest.MonkeyPatch) -> None:
    """`HUBBUB_<GROUP>_<NAME>` sets a field."""
    monkeypatch.setenv("HUBBUB_KITCHEN_OVENS", "5")

    assert load(KitchenSettings).ovens == 5


def test_an_empty_variable_counts_as_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """A chart may leave a value blank."""
    monkeypatch.setenv("HUBBUB_KITCHEN_OVENS", "")

    assert load(KitchenSettings).ovens == 2


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        pytest.param(
            "HUBBUB_KITCHEN_OVENS",
            "many",
            "HUBBUB_KITCHEN_OVENS: input should be a valid integer, unable to parse string as an "
            "integer; found 'many'",
            id="type",
        ),
        pytest.param(
            "HUBBUB_KITCHEN_OVENS",
            "0",
            "HUBBUB_KITCHEN_OVENS: input should be greater than or equal to 1; found '0'",
            id="range",
        ),
    ],
)
def test_a_wrong_value_is_one_line(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, expected: str
) -> None:
    """It names the variable, what is allowed and what was found."""
    monkeypatch.setenv(name, value)

    with pytest.raises(WrongSettings) as wrong:
        load(KitchenSettings)

    assert str(wrong.value) == expected


def test_a_value_that_is_not_json_names_its_field(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lists are written as JSON; what is not is refused by name."""
    monkeypatch.setenv("HUBBUB_KITCHEN_DISHES", "soup")

    with pytest.raises(WrongSettings, match=r"HUBBUB_KITCHEN_DISHES: .*JSON.*'soup'"):
        load(KitchenSettings)


def test_a_wrong_secret_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """An error about a secret does not repeat it."""

    class Strict(KitchenSettings):
        password: SecretStr = Field(default=SecretStr("long enough"), min_length=8)
        """Opens the pantry."""

    monkeypatch.setenv("HUBBUB_KITCHEN_PASSWORD", "hunter2")

    with pytest.raises(WrongSettings) as wrong:
        load(Strict)

    assert "HUBBUB_KITCHEN_PASSWORD" in str(wrong.value)
    assert "hunter2" not in str(wrong.value)


def test_secrets_come_from_a_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A mounted secret is a file named like the variable."""
    (tmp_path / "hubbub_kitchen_password").write_text("from a file\n")
    monkeypatch.setenv("HUBBUB_SECRETS_DIR", str(tmp_path))

    settings = load(KitchenSettings)

    assert settings.password.get_secret_value() == "from a file"
    assert "from a file" not in repr(settings)


def test_settings_do_not_change() -> None:
    """What was read stays."""
    with pytest.raises(ValidationError):
        load(KitchenSettings).ovens = 3  # type: ignore[misc]


def test_the_text_under_a_field_is_its_meaning() -> None:
    """`hubbub settings` prints what stands under each field."""
    assert KitchenSettings.model_fields["ovens"].description == "How many ovens."
    assert variable_name(KitchenSettings, "ovens") == "HUBBUB_KITCHEN_OVENS"
