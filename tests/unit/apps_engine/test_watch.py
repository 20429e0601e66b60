"""When a running app has gone too far."""

from __future__ import annotations

from services.apps_engine.domain.watch import Bounds, Sample, Silence, Watch

_MEBIBYTE = 1024 * 1024


def _sample(at: float, processor: float = 0.0, **more: int) -> Sample:
    return Sample(at=at, processor=processor, resident=more.pop("resident", 0), **more)


def _judge(watch: Watch, share: float, seconds: int, begin: int = 0) -> list[str | None]:
    return [
        watch.judge(_sample(float(begin + second), (begin + second) * share))
        for second in range(seconds)
    ]


def test_a_loop_is_noticed_after_a_whole_span() -> None:
    verdicts = _judge(Watch(Bounds(processor_share=0.5, processor_span=15)), 1.0, 16)

    assert verdicts[:15] == [None] * 15
    assert verdicts[15] == "used 100% of a processor for 15 s"


def test_an_app_that_works_within_its_share_goes_on() -> None:
    assert set(_judge(Watch(Bounds(processor_share=0.5, processor_span=15)), 0.4, 300)) == {None}


def test_a_moment_of_work_is_forgotten() -> None:
    watch = Watch(Bounds(processor_share=0.5, processor_span=15))
    used = 0.0
    for second in range(300):
        used += 1.0 if second % 20 < 6 else 0.0  # six seconds of every twenty

        assert watch.judge(_sample(float(second), used)) is None


def test_a_loop_after_an_idle_hour_is_noticed_too() -> None:
    watch = Watch(Bounds(processor_share=0.5, processor_span=15))
    for second in range(3600):
        watch.judge(_sample(float(second)))

    verdicts = [watch.judge(_sample(3600.0 + more, float(more))) for more in range(16)]

    assert verdicts.index("used 53% of a processor for 15 s") == 8


def test_memory_threads_and_disk_have_bounds() -> None:
    watch = Watch(Bounds(resident=100 * _MEBIBYTE, threads=64, scratch=_MEBIBYTE, scratch_files=10))

    assert watch.judge(_sample(0, resident=100 * _MEBIBYTE, threads=64, scratch_files=10)) is None
    assert watch.judge(_sample(1, resident=101 * _MEBIBYTE)) == "used 101 MiB of memory"
    assert watch.judge(_sample(2, threads=65)) == "had 65 threads"
    assert watch.judge(_sample(3, scratch=2 * _MEBIBYTE)) == ("wrote 2 MiB into its scratch folder")
    assert watch.judge(_sample(4, scratch_files=11)) == "wrote 11 files into its scratch folder"


def test_silence_is_many_deadlines_without_a_word() -> None:
    silence = Silence(calls=3, span=10)

    assert not silence.missed(asked=0, now=5)
    assert not silence.missed(asked=5, now=8)
    assert silence.missed(asked=8, now=11)


def test_deadlines_of_one_moment_are_no_silence() -> None:
    silence = Silence(calls=3, span=10)

    assert not any(silence.missed(asked=0, now=0.5) for _ in range(50))


def test_a_word_breaks_the_silence() -> None:
    silence = Silence(calls=3, span=10)
    silence.missed(asked=0, now=5)
    silence.missed(asked=5, now=9)
    silence.heard()

    assert not silence.missed(asked=9, now=20)
