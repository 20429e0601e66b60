"""An app for tests of what is done with folders of apps."""

from __future__ import annotations

from pathlib import Path

MANIFEST = """
id = "trial-app"
name = "Trial"
version = "1.2.3"
permissions = ["command", "notify", "store", "schedule"]
[commands.count]
[settings.word]
type = "string"
required = true
"""

CODE = """
from hubbub.apps import App

from trial_app.words import WORD

app = App()


@app.command("count")
async def count(command):
    number = 1 + await app.store.get("n", 0)
    await app.store.set("n", number)
    await command.reply(f"{WORD} {number}")


@app.every("0 9 * * mon-fri")
async def daily(job):
    app.log.info("a day")
"""


def write(folder: Path, *, manifest: str = MANIFEST, code: str = CODE) -> Path:
    """The app in a new folder; returns that."""
    made = folder / "trial"
    (made / "trial_app").mkdir(parents=True)
    (made / "app.toml").write_text(manifest)
    (made / "trial_app" / "__init__.py").write_text(code)
    (made / "trial_app" / "words.py").write_text('WORD = "Number"\n')
    return made
