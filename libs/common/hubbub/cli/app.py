"""Write apps: programs that automate the chat.

    hubbub app new hello          a small whole app with a test
    hubbub app run hello          talk with it, without a server; it is loaded again when it changes
    hubbub app run hello --url U  let it run in the Hubbub at U for as long as you work on it
    hubbub app check hello        whether it can be installed
    hubbub app pack hello         make hello-0.1.0.zip
    hubbub app install hello      into a running Hubbub; enable, disable, remove, logs

`run` and `check` run the app's code here, with your rights and without the confinement in which
a server runs it; with `--url`, `run` does so only to look for mistakes before it installs a change.
"""

from __future__ import annotations

import argparse
import sys
import traceback
from pathlib import Path

from hubbub.apps import packing, skeleton
from hubbub.apps.checking import Checked, check
from hubbub.apps.engine import Refused
from hubbub.apps.manifest import Manifest, WrongManifest, WrongSettings, read
from hubbub.apps.simulator import Ended, Simulator, setting_value
from hubbub.cli import app_live, apps, output
from hubbub.cli.failure import Failure, WrongUse


def arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    new = actions.add_parser("new", help="make a small whole app with a test")
    new.add_argument("name", metavar="NAME", help="its id: small letters, digits and dashes")
    looking = actions.add_parser("check", help="tell whether an app can be installed")
    output.json_argument(looking)
    packing_ = actions.add_parser("pack", help="make the file that is installed")
    packing_.add_argument(
        "-o", "--output", type=Path, metavar="FILE", help="instead of ID-VERSION.zip"
    )
    running = actions.add_parser(
        "run",
        help="talk with an app without a server, or let it run in one while you work on it",
        description=app_live.ABOUT,
    )
    running.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a value for one of its settings; can be repeated",
    )
    apps.yes_argument(running)
    running.add_argument(
        "--keep", action="store_true", help="with --url: leave it installed at the end"
    )
    apps.who_arguments(running, url=None)
    for action in (looking, packing_, running):
        action.add_argument("folder", type=Path, metavar="FOLDER")
    apps.add_actions(actions)


def main(chosen: argparse.Namespace) -> int:
    if apps.does(chosen.action):
        return apps.act(chosen)
    actions = {"new": _new, "check": _check, "pack": _pack, "run": _run}
    return actions[chosen.action](chosen)


def _new(chosen: argparse.Namespace) -> int:
    try:
        made = skeleton.make(chosen.name, Path.cwd())
    except (skeleton.CannotMake, WrongManifest) as error:
        raise WrongUse(str(error)) from error
    for path in made:
        print(path.relative_to(Path.cwd()))
    return 0


def _check(chosen: argparse.Namespace) -> int:
    found = check(chosen.folder)
    if chosen.json:
        print(
            output.as_json(
                {"problems": found.problems, "hints": found.hints, "offers": found.offers}
            )
        )
    else:
        _tell(found)
    return 1 if found.problems else 0


def _tell(found: Checked) -> None:
    for problem in found.problems:
        print(problem)
    for hint in found.hints:
        print(f"hint: {hint}")
    if found.problems or found.manifest is None:
        return
    print(f"{found.manifest.name} {found.manifest.version} can be installed")
    for what in ("commands", "events", "hooks", "endpoints"):
        if found.offers.get(what):
            print(f"  {what}: {', '.join(found.offers[what])}")
    if jobs := found.offers.get("jobs"):
        told = (f"{job['name']} ({job['cron']})" if job["cron"] else job["name"] for job in jobs)
        print(f"  jobs: {', '.join(told)}")


def _pack(chosen: argparse.Namespace) -> int:
    manifest = _manifest(chosen.folder)
    path: Path = chosen.output or Path(f"{manifest.id}-{manifest.version}.zip")
    try:
        data = packing.pack(chosen.folder)
        path.write_bytes(data)
    except packing.CannotPack as error:
        raise Failure(str(error)) from error
    except OSError as error:
        raise Failure(f"{path} cannot be written: {error.strerror}") from error
    print(f"{path}: {len(data)} bytes")
    return 0


def _run(chosen: argparse.Namespace) -> int:
    if chosen.url is not None:
        return app_live.main(chosen)
    if chosen.keep:
        raise WrongUse("--keep is for an app in a running Hubbub: say --url, too")
    manifest = _manifest(chosen.folder)
    try:
        given = dict(_setting(manifest, pair) for pair in chosen.set)
    except WrongSettings as error:
        raise WrongUse(str(error)) from error
    try:
        simulator = Simulator(chosen.folder, given)
    except WrongSettings as error:
        raise WrongUse(f"{error} (give it with --set NAME=VALUE)") from error
    except (packing.CannotPack, Refused) as error:
        raise Failure(str(error)) from error
    except Exception as error:
        # The app's own, which its author has to see.
        raise Failure(traceback.format_exc(limit=-3)) from error
    print(f"{manifest.name} {manifest.version}; :help tells what can be typed")
    return _talk(simulator)


def _talk(simulator: Simulator) -> int:
    try:
        while True:
            try:
                prompt = f"{simulator.user}@{simulator.room}> " if sys.stdin.isatty() else ""
                for line in simulator.feed(input(prompt)):
                    print(line)
            except (EOFError, Ended):
                return 0
    finally:
        simulator.close()


def _manifest(folder: Path) -> Manifest:
    try:
        return read(folder)
    except WrongManifest as error:
        raise Failure("\n".join(f"app.toml: {problem}" for problem in error.problems)) from error


def _setting(manifest: Manifest, pair: str) -> tuple[str, object]:
    name, sign, word = pair.partition("=")
    if not sign:
        raise WrongUse(f"{pair!r} is not NAME=VALUE")
    return name, setting_value(manifest, name, word)
