"""What a hostile app tries, what stops it, and that a neighbour answers all the while.

Each test says what happened. Where this machine cannot have a boundary, the report has to say
so, and the test that needs it is skipped with that report as its reason.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import socket
from pathlib import Path
from typing import Any

import pytest

from hubbub.errors import Timeout, Unavailable
from services.apps_engine.confinement import system_calls
from services.apps_engine.confinement.kernel import MACHINE
from services.apps_engine.confinement.report import Means
from services.apps_engine.domain.boundaries import Boundary, active
from services.apps_engine.domain.watch import Bounds
from services.apps_engine.processes import AppFailed, AppProcess, Bounding, Cause, Ending
from tests.integration.apps_engine.conftest import App, Launch, exists, own_environment

_MEBIBYTE = 1024 * 1024
_SECRET = "not-for-apps"

_NOT_ALLOWED = ("PermissionError", "FileNotFoundError", "Read-only")
_DOORS = (
    "unshare mount bpf keyctl add_key kexec_load perf_event_open userfaultfd io_uring_setup "
    "process_vm_readv pidfd_open setns init_module reboot memfd_create shmget sync"
).split()
_TABLES = (
    system_calls.NAMESPACES,
    system_calls.KERNEL,
    system_calls.IDENTITY,
    system_calls.PROCESSES,
    system_calls.MEMORY,
)

# Each set leaves one means out, so that the next one has to hold alone.
_WITHOUT = [
    pytest.param((), id="everything"),
    pytest.param((Means.SECCOMP,), id="without-seccomp"),
    pytest.param((Means.LANDLOCK,), id="without-landlock"),
    pytest.param((Means.SECCOMP, Means.LANDLOCK), id="namespaces-alone"),
    pytest.param(
        (Means.USERS, Means.NETWORK, Means.PROCESSES, Means.MOUNTS, Means.IPC),
        id="without-namespaces",
    ),
]


def _needs(app: App, boundary: Boundary) -> None:
    """Go on where `boundary` holds; else skip, with the honest report as the reason."""
    confinement = app.process.confinement
    assert confinement is not None
    if boundary not in active(confinement):
        shown = {key: finding["state"] for key, finding in confinement.to_json().items()}
        pytest.skip(f"{boundary} cannot be kept on this machine: {shown}")


async def _ending(process: AppProcess) -> Ending:
    async with asyncio.timeout(60):
        return await process.wait()


async def _failure(app: App, attack: str, **args: Any) -> str:
    """Why an attack failed, in the app's own words."""
    with pytest.raises(AppFailed) as caught:
        await app.do(attack, **args)
    return caught.value.reason


async def _fatal(app: App, attack: str, **args: Any) -> Ending:
    """How the process ended that tried it."""
    with pytest.raises(Unavailable):
        await app.do(attack, deadline=60, **args)
    return await _ending(app.process)


def _text(path: str) -> str:
    return Path(path).read_text(encoding="utf-8")


def _names(folder: str) -> list[str]:
    return [path.name for path in Path(folder).iterdir()]


async def _listing(app: App, folder: str) -> list[str]:
    """What the app sees in a folder; nothing when it may not look."""
    try:
        found: list[str] = await app.do("listing", path=folder)
    except AppFailed as error:
        if "PermissionError" in error.reason or "FileNotFoundError" in error.reason:
            return []
        raise
    return found


# Using up.


async def test_an_endless_loop_is_ended_for_its_share_of_the_processor(
    launch: Launch, neighbour: App
) -> None:
    bounds = Bounds(processor_share=0.2, processor_span=3)
    app = await launch(bounding=Bounding(use=bounds))

    ending = await _fatal(app, "loop")

    assert ending.cause is Cause.LIMITS
    assert "of a processor for 3 s" in ending.detail


async def test_the_last_resort_against_a_loop_is_the_kernel(launch: Launch, neighbour: App) -> None:
    app = await launch(processor_seconds=1)

    ending = await _fatal(app, "loop")

    assert ending.cause is Cause.EXITED
    assert "SIGKILL" in ending.detail or "SIGXCPU" in ending.detail


async def test_ten_gigabytes_are_refused(launch: Launch, neighbour: App) -> None:
    app = await launch()

    assert "MemoryError" in await _failure(app, "allocate", mebibytes=10 * 1024)
    assert await app.do("ping") == "pong"


async def test_memory_ends_at_its_limit(launch: Launch, neighbour: App) -> None:
    app = await launch(memory=128 * _MEBIBYTE)
    _needs(app, Boundary.MEMORY)

    assert 16 < await app.do("grow", kind="heap") < 128
    assert await app.do("grow", kind="memfd") == 0


async def test_memory_that_no_limit_counts_is_seen(launch: Launch, neighbour: App) -> None:
    bounds = Bounds(resident=8 * _MEBIBYTE)
    app = await launch(bounding=Bounding(use=bounds))

    ending = await _ending(app.process)

    assert ending.cause is Cause.LIMITS
    assert "of memory" in ending.detail


@pytest.mark.parametrize("without", _WITHOUT)
async def test_a_fork_bomb_makes_no_process(
    launch: Launch, neighbour: App, without: tuple[Means, ...]
) -> None:
    app = await launch(without=without)
    _needs(app, Boundary.PROCESSES)

    made = await app.do("fork_bomb")

    confinement = app.process.confinement
    assert confinement is not None
    assert made <= (0 if confinement.has(Means.SECCOMP) else app.plan.threads)


async def test_other_programs_are_not_run(launch: Launch, neighbour: App) -> None:
    app = await launch()
    _needs(app, Boundary.PROCESSES)

    assert "PermissionError" in await _failure(app, "run", program="/bin/true")


async def test_thousands_of_threads_are_refused_or_ended(launch: Launch, neighbour: App) -> None:
    app = await launch()
    confinement = app.process.confinement
    assert confinement is not None

    if confinement.has(Means.THREADS):
        assert await app.do("thread_bomb") <= app.plan.threads
    else:
        # The address space ends them; if that takes longer than a look, the engine does.
        try:
            assert await app.do("thread_bomb") < 5_000
        except Unavailable:
            assert "threads" in (await _ending(app.process)).detail


async def test_the_scratch_folder_has_an_end(launch: Launch, neighbour: App) -> None:
    app = await launch(scratch_bytes=4 * _MEBIBYTE, scratch_files=100)
    _needs(app, Boundary.DISK)

    assert await app.do("fill", files=10, mebibytes=1) <= 4
    assert await app.do("many_files", count=1_000) < 100
    assert _names(app.plan.scratch) == []


async def test_a_scratch_folder_on_the_disk_is_watched(launch: Launch, neighbour: App) -> None:
    bounds = Bounds(scratch=4 * _MEBIBYTE)
    app = await launch(
        bounding=Bounding(use=bounds), scratch_bytes=2 * _MEBIBYTE, without=(Means.VIEW,)
    )

    # No file is larger than the limit, and all together are noticed.
    assert await app.do("fill", files=1, mebibytes=10) <= 2
    await app.do("fill", files=4, mebibytes=2)
    ending = await _ending(app.process)

    assert ending.cause is Cause.LIMITS
    assert "into its scratch folder" in ending.detail


async def test_many_files_on_the_disk_are_noticed(launch: Launch, neighbour: App) -> None:
    app = await launch(bounding=Bounding(use=Bounds(scratch_files=50)), without=(Means.VIEW,))

    await app.do("many_files", count=200)

    assert "51 files" in (await _ending(app.process)).detail


async def test_a_flood_of_output_waits(launch: Launch, neighbour: App) -> None:
    app = await launch()

    with pytest.raises(Timeout):
        await app.do("print_without_end", deadline=2)

    printed = sum(len(line) for line, _ in app.bridge.lines)
    assert 0 < printed < 2 * _MEBIBYTE
    assert max(len(line) for line, _ in app.bridge.lines) <= 2_000


# Speaking wrongly.


@pytest.mark.parametrize("kind", ["call", "tell"])
async def test_flooding_the_bridge_is_refused_and_then_ended(
    launch: Launch, neighbour: App, kind: str
) -> None:
    app = await launch()

    ending = await _fatal(app, "flood", kind=kind)

    assert ending.cause is Cause.FLOOD
    assert len(app.bridge.calls) + len(app.bridge.tells) < 1_000


async def test_a_burst_is_answered_and_what_is_beyond_refused(
    launch: Launch, neighbour: App
) -> None:
    app = await launch()
    app.bridge.pause = 0.02

    answers = await app.do("ask", times=300)

    assert answers.count("ok") >= 100
    assert answers.count("too-many-requests") >= 50
    assert app.bridge.most_at_once <= 16
    assert await app.do("ping") == "pong"


async def test_answers_that_nobody_reads_are_not_kept(launch: Launch, neighbour: App) -> None:
    app = await launch()

    ending = await _fatal(app, "hoard")

    assert ending == Ending(Cause.FLOOD, "does not read what is sent to it")


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("missing", "error-user-not-found"),
        ("defect", "internal-error"),
        ("too_large", "error-too-large"),
        ("never", "error-timeout"),
    ],
)
async def test_whatever_goes_wrong_is_one_answer(launch: Launch, name: str, code: str) -> None:
    app = await launch()

    assert await app.do("ask", times=1, name=name) == [code]


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("ffffffff", id="four gigabytes"),
        pytest.param("00100001" + "7b", id="a mebibyte and one"),
        pytest.param("00000000", id="nothing"),
        pytest.param("00000005" + b"hello".hex(), id="no JSON"),
        pytest.param("00000002" + b"[]".hex(), id="no object"),
        pytest.param("00000002" + b"{}".hex(), id="an empty object"),
        pytest.param("00000004" + "fffefdfc", id="no UTF-8"),
        pytest.param("00000014" + b'{"id":999999,"ok":1}'.hex(), id="an answer to nothing"),
        pytest.param("00000019" + b'{"id":-1,"call":"x","args'.hex(), id="cut JSON"),
        pytest.param(b"GET / HTTP/1.1\r\n\r\n".hex(), id="another protocol"),
    ],
)
async def test_nonsense_ends_the_process(launch: Launch, neighbour: App, text: str) -> None:
    app = await launch()

    ending = await _fatal(app, "raw", text=text)

    assert ending.cause is Cause.BROKEN


async def test_deep_nesting_is_no_frame(launch: Launch, neighbour: App) -> None:
    app = await launch()

    assert (await _fatal(app, "nested")).cause is Cause.BROKEN


async def test_a_report_of_the_app_itself_changes_nothing(launch: Launch) -> None:
    app = await launch()
    before = app.process.confinement
    assert before is not None

    await app.do("lie")

    assert app.process.confinement is before
    assert app.bridge.tells == ["confinement"]


async def test_closing_the_pipe_is_an_end(launch: Launch, neighbour: App) -> None:
    app = await launch()

    ending = await _fatal(app, "close")

    assert ending.cause is Cause.BROKEN
    assert "closed its side" in ending.detail
    assert not exists(app.process.pid)


async def test_an_app_that_never_answers_is_given_up(launch: Launch, neighbour: App) -> None:
    app = await launch(bounding=Bounding(silence=3, silence_span=1))

    with pytest.raises(Timeout):
        await app.do("sleep", deadline=0.5)
    with pytest.raises(Timeout):
        await app.do("ping", deadline=0.5)
    with pytest.raises(Timeout):
        await app.do("ping", deadline=0.5)

    assert await _ending(app.process) == Ending(Cause.SILENT, "does not answer any more")


async def test_a_late_answer_is_ignored(launch: Launch) -> None:
    app = await launch()

    with pytest.raises(Timeout):
        await app.do("sleep", seconds=0.5, deadline=0.1)

    assert await app.do("ping") == "pong"


async def test_exit_in_the_middle_of_a_call(launch: Launch, neighbour: App) -> None:
    app = await launch()

    ending = await _fatal(app, "exit", code=3)

    assert ending == Ending(Cause.EXITED, "exited with 3: goodbye")
    assert ("goodbye", True) in app.bridge.lines


async def test_a_crash_in_the_middle_of_a_call(launch: Launch, neighbour: App) -> None:
    app = await launch()

    ending = await _fatal(app, "crash")

    assert ending == Ending(Cause.EXITED, "was ended by SIGSEGV")


async def test_what_raises_is_an_error_and_no_end(launch: Launch, neighbour: App) -> None:
    app = await launch()

    assert "FileNotFoundError" in await _failure(app, "read", path="no-such-file")
    assert await app.do("ping") == "pong"


# Reaching out.


async def test_nothing_of_the_engine_is_inherited(
    launch: Launch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HUBBUB_MONGO_URI", _SECRET)
    app = await launch()

    found = await app.do("who")

    assert set(found["environment"]) == {
        "HOME",
        "LANG",
        "MALLOC_ARENA_MAX",
        "PYTHONDONTWRITEBYTECODE",
        "TMPDIR",
    }
    assert found["descriptors"] == [0, 1, 2, 3]
    assert found["folder"] == app.plan.scratch


@pytest.mark.parametrize("without", _WITHOUT)
async def test_files_of_others_are_not_read(
    launch: Launch,
    neighbour: App,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    without: tuple[Means, ...],
) -> None:
    monkeypatch.setenv("HUBBUB_MONGO_URI", _SECRET)
    (tmp_path / "key.nk").write_text(_SECRET)
    others = Path(neighbour.plan.folder, "own.txt")
    app = await launch(without=without)
    _needs(app, Boundary.FILES)

    assert await app.do("read", path=str(Path(app.plan.folder, "own.txt"))) == "its own"
    for path in (
        str(tmp_path / "key.nk"),
        str(others),
        f"{app.plan.folder}/../../neighbour/app/own.txt",
        own_environment(),
        f"/proc/{neighbour.process.pid}/environ",
        "/etc/passwd",
        "/etc/shadow",
        str(Path.home() / ".profile"),
        "/dev/mem",
    ):
        reason = await _failure(app, "read", path=path)
        assert "PermissionError" in reason or "FileNotFoundError" in reason
    assert set(await _listing(app, str(tmp_path))) <= {app.plan.app}
    for folder in (neighbour.plan.folder, neighbour.plan.scratch, "/proc", "/home", "/var"):
        assert await _listing(app, folder) == []


@pytest.mark.parametrize("without", _WITHOUT)
async def test_only_the_scratch_folder_is_written(
    launch: Launch, neighbour: App, tmp_path: Path, without: tuple[Means, ...]
) -> None:
    app = await launch(without=without)
    _needs(app, Boundary.FILES)

    await app.do("write", path="mine")
    assert await app.do("read", path="mine") == "owned"
    for path in (
        str(tmp_path / "evil"),
        f"{app.plan.folder}/own.txt",
        f"{app.plan.folder}/evil",
        f"{neighbour.plan.scratch}/evil",
        str(Path(os.__file__).parent / "evil.py"),
        "/evil",
        "/tmp/evil",
    ):
        reason = await _failure(app, "write", path=path)
        assert any(word in reason for word in _NOT_ALLOWED)
    assert _text(f"{app.plan.folder}/own.txt") == "its own"


@pytest.mark.parametrize("without", _WITHOUT)
async def test_files_of_others_are_not_marked(
    launch: Launch, tmp_path: Path, without: tuple[Means, ...]
) -> None:
    (tmp_path / "key.nk").write_text(_SECRET)
    before = (tmp_path / "key.nk").stat()
    app = await launch(without=without)
    _needs(app, Boundary.FILES)

    paths = (str(tmp_path / "key.nk"), f"{app.plan.folder}/own.txt", "/dev/null", os.__file__)
    for path, how in itertools.product(paths, ("mode", "owner", "time", "attribute")):
        reason = await _failure(app, "mark", path=path, how=how)
        assert any(word in reason for word in _NOT_ALLOWED), (path, how)
    assert os.stat(tmp_path / "key.nk") == before  # noqa: PTH116


@pytest.mark.parametrize("without", _WITHOUT)
async def test_links_lead_nowhere(
    launch: Launch, neighbour: App, tmp_path: Path, without: tuple[Means, ...]
) -> None:
    (tmp_path / "key.nk").write_text(_SECRET)
    app = await launch(without=without)
    _needs(app, Boundary.FILES)

    for kind in ("symbolic", "hard"):
        assert _SECRET not in await _failure(
            app, "link_and_read", path=str(tmp_path / "key.nk"), kind=kind
        )


@pytest.mark.parametrize("without", _WITHOUT)
async def test_nobody_is_reached_by_network(
    launch: Launch, neighbour: App, tmp_path: Path, without: tuple[Means, ...]
) -> None:
    app = await launch(without=without)
    _needs(app, Boundary.NETWORK)
    reached = []
    abstract = f"\0hubbub-test-{os.getpid()}"
    path = str(tmp_path / "socket")
    with (
        socket.socket() as tcp,
        socket.socket(socket.AF_UNIX) as hidden,
        socket.socket(socket.AF_UNIX) as named,
    ):
        tcp.bind(("127.0.0.1", 0))
        hidden.bind(abstract)
        named.bind(path)
        for listening in (tcp, hidden, named):
            listening.listen()
            listening.setblocking(False)
        os.chmod(path, 0o777)  # noqa: PTH101 - it is a socket
        for family, address in (
            ("inet", list(tcp.getsockname())),
            ("inet", ["127.0.0.1", 27017]),
            ("inet", ["127.0.0.1", 4222]),
            ("inet", ["192.0.2.1", 80]),
            ("unix", abstract),
            ("unix", path),
        ):
            await _failure(app, "connect", family=family, address=address)
        await _failure(app, "resolve", name="localhost.example")
        for listening in (tcp, hidden, named):
            with pytest.raises(BlockingIOError):
                reached.append(listening.accept())
    assert reached == []


@pytest.mark.parametrize("without", _WITHOUT)
async def test_nobody_is_signalled_or_traced(
    launch: Launch, neighbour: App, without: tuple[Means, ...]
) -> None:
    app = await launch(without=without)
    _needs(app, Boundary.PROCESSES)

    for pid in (os.getpid(), neighbour.process.pid):
        for attack in ("kill", "ptrace"):
            reason = await _failure(app, attack, pid=pid)
            assert "PermissionError" in reason or "ProcessLookupError" in reason
    assert exists(neighbour.process.pid)


async def test_nobody_becomes_more_than_they_are(launch: Launch, neighbour: App) -> None:
    app = await launch()
    _needs(app, Boundary.PRIVILEGES)

    assert "PermissionError" in await _failure(app, "setuid")
    status = _text(f"/proc/{app.process.pid}/status")
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert int(fields["CapEff"], 16) == int(fields["CapPrm"], 16) == 0
    assert int(fields["CapBnd"], 16) == 0
    assert fields["NoNewPrivs"] == "1"


async def test_the_doors_of_the_kernel_are_shut(launch: Launch) -> None:
    app = await launch()
    confinement = app.process.confinement
    assert confinement is not None
    if not confinement.has(Means.SECCOMP):
        pytest.skip(f"no filter of system calls: {confinement.to_json()['seccomp']}")

    for name in _DOORS:
        numbers = next(table[name] for table in _TABLES if name in table)
        reason = await _failure(
            app, "syscall", number=numbers[MACHINE == "aarch64"], arguments=[0] * 5
        )

        assert "PermissionError(1," in reason, name


async def test_nobody_outlives_the_engine_on_purpose(launch: Launch) -> None:
    app = await launch()
    _needs(app, Boundary.PROCESSES)

    assert "PermissionError" in await _failure(app, "outlive")


# Being honest.


async def test_what_is_left_out_is_not_claimed(launch: Launch) -> None:
    app = await launch(without=(Means.SECCOMP, Means.LANDLOCK, Means.VIEW, Means.NETWORK))

    confinement = app.process.confinement
    assert confinement is not None
    assert confinement.to_json()["seccomp"] == {"state": "absent", "detail": "not wanted here"}
    assert not {Boundary.NETWORK, Boundary.FILES, Boundary.DISK} & active(confinement)


async def test_no_app_runs_without_a_boundary_that_is_required(launch: Launch) -> None:
    bounding = Bounding(required=frozenset({Boundary.NETWORK}))

    with pytest.raises(Unavailable, match="network"):
        await launch(bounding=bounding, without=(Means.SECCOMP, Means.NETWORK))
