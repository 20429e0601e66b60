"""Apps of a few lines, for tests that need one."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

_MANIFEST = """
id = "{app_id}"
name = "{app_id}"
version = "{version}"
permissions = [{permissions}]
{more}
"""


def small_app(
    folder: Path,
    app_id: str,
    code: str,
    *,
    permissions: Collection[str] = (),
    more: str = "",
    version: str = "1.0.0",
) -> Path:
    """An app in a folder, written over what is there. `more` stands in its manifest, too."""
    package = folder / app_id.replace("-", "_")
    package.mkdir(parents=True, exist_ok=True)
    quoted = ", ".join(f'"{permission}"' for permission in permissions)
    (folder / "app.toml").write_text(
        _MANIFEST.format(app_id=app_id, version=version, permissions=quoted, more=more)
    )
    (package / "__init__.py").write_text(code)
    return folder
