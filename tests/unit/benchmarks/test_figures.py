"""Figures, targets, results: what is shown is what was measured."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import results
from benchmarks.figures import Figure, Outcome, number, shown
from benchmarks.results import BEGIN, END, NoFigures, Result
from benchmarks.run import FULL, SHORT, Failed, run_all
from benchmarks.targets import TARGETS, judge


def outcome(**figures: float) -> Outcome:
    made = Outcome()
    for name, value in figures.items():
        made.put(name.replace("__", "."), value, "ms")
    return made


def result(name: str = "short", date: str = "2026-01-02T03:04:05+00:00", **more: float) -> Result:
    return Result(
        name=name,
        date=date,
        length="full" if name == "full" else "short",
        machine={
            "processor": "some processor",
            "cores": 2,
            "memory_gib": 8,
            "system": "Linux 6",
            "versions": {"python": "3.11.7"},
        },
        load_before=0.1,
        outcomes={"end_to_end": outcome(**more)},
    )


def test_a_figure_is_the_median_of_its_rounds() -> None:
    figure = Figure.of([3.0, 1.0, 10.0], "µs")
    assert figure.value == 3.0
    assert figure.spread == (1.0, 10.0)
    assert shown(figure) == "3.00 µs  (1.00 to 10.0)"


def test_one_round_has_no_spread() -> None:
    assert Figure.of([3.0], "µs").spread is None


def test_a_figure_needs_a_round() -> None:
    with pytest.raises(ValueError, match="at least one"):
        Figure.of([], "µs")


def test_a_ratio_is_taken_round_by_round() -> None:
    made = Outcome()
    made.put("a", [1.0, 4.0, 9.0], "µs")
    made.put("b", [1.0, 2.0, 3.0], "µs")
    made.ratio("c", "a", "b")
    assert made.figures["c"].rounds == (1.0, 2.0, 3.0)
    assert made.figures["c"].value == 2.0


def test_a_ratio_of_different_rounds_is_that_of_the_medians() -> None:
    made = Outcome()
    made.put("a", [2.0, 4.0, 6.0], "µs")
    made.put("b", 8.0, "µs")
    made.ratio("c", "a", "b")
    assert made.figures["c"].value == 0.5


def test_a_ratio_with_what_is_missing_is_left_out() -> None:
    made = outcome(a=1.0)
    made.ratio("c", "a", "b")
    assert "c" not in made.figures


@pytest.mark.parametrize(
    ("value", "text"), [(0.123, "0.12"), (12.34, "12.3"), (123.4, "123"), (12345.6, "12,346")]
)
def test_numbers_have_the_digits_that_mean_something(value: float, text: str) -> None:
    assert number(value) == text


def test_targets_are_met_missed_or_not_measured() -> None:
    figures = {
        "startup": Figure(8.0, "s"),
        "hub.backlog.rate": Figure(9_999.0, "per s"),
    }
    verdicts = {judged.target.figure: judged.verdict for judged in judge(figures)}
    assert verdicts["startup"] == "met"
    assert verdicts["hub.backlog.rate"] == "missed"
    assert verdicts["memory.bare"] == "not measured"


def test_every_target_has_a_name_of_its_own() -> None:
    assert len({target.figure for target in TARGETS}) == len(TARGETS)


def test_short_and_full_runs_name_measurements_that_exist() -> None:
    folder = Path(results.__file__).parent
    for name in {*SHORT, *FULL}:
        assert (folder / f"{name}.py").exists()


def test_a_result_comes_back_from_disk_as_it_was(tmp_path: Path) -> None:
    before = result(send_to_receive__p99=12.5)
    before.outcomes["end_to_end"].put("startup", [1.0, 2.0, 3.0], "s")
    before.failures["hub"] = "void"
    path = results.save(before, tmp_path)
    assert path.name == "2026-01-02-030405-short.json"
    assert results.load(path) == before


def test_the_newest_full_run_is_preferred(tmp_path: Path) -> None:
    results.save(result("full", "2026-01-01T00:00:00+00:00"), tmp_path)
    results.save(result("full", "2026-01-02T00:00:00+00:00"), tmp_path)
    results.save(result("short", "2026-01-03T00:00:00+00:00"), tmp_path)
    results.save(result("bus", "2026-01-04T00:00:00+00:00"), tmp_path)
    assert results.latest(tmp_path).date == "2026-01-02T00:00:00+00:00"


def test_without_a_whole_run_there_are_no_figures(tmp_path: Path) -> None:
    results.save(result("bus"), tmp_path)
    with pytest.raises(NoFigures):
        results.latest(tmp_path)


def test_the_table_shows_figure_target_and_verdict() -> None:
    rows = results.table(result(send_to_receive__p99=51.0)).splitlines()
    (row,) = [row for row in rows if row.startswith("send to receive p99  ")]
    assert "51.0 ms" in row
    assert "≤ 50.0 ms" in row
    assert "missed" in row
    assert "here: fewer users" in row


def test_the_readme_is_written_between_its_markers_only() -> None:
    readme = f"# Before\n{BEGIN}\nold figures\n{END}\nAfter\n"
    written = results.written(readme, result(startup=3.0))
    assert written.startswith(f"# Before\n{BEGIN}\n")
    assert written.endswith(f"{END}\nAfter\n")
    assert "old figures" not in written
    assert "| start-up | 3.00 ms | ≤ 8.00 s | met |" in written
    assert results.written(written, result(startup=3.0)) == written


def test_a_readme_without_markers_is_not_touched() -> None:
    with pytest.raises(NoFigures):
        results.written("# Nothing here\n", result())


def test_a_busy_machine_is_named_first() -> None:
    busy = result()
    busy.load_before = 4.0
    busy.outcomes["end_to_end"].notes.append("other")
    assert "busy" in busy.notes[0]
    assert "busy" not in " ".join(result().notes)


def test_a_measurement_that_fails_does_not_stop_the_others() -> None:
    made = result()
    made.outcomes.clear()

    def run(name: str, options: object) -> Outcome:
        if name == "bad":
            raise Failed("void: a frame is missing")
        assert options == ["--fast", "1"]
        return outcome(startup=1.0)

    run_all({"bad": "", "good": "--fast 1"}, made, run=run, say=lambda _: None)
    assert made.failures == {"bad": "void: a frame is missing"}
    assert made.figures["startup"].value == 1.0
    assert "bad failed: void: a frame is missing" in made.notes
