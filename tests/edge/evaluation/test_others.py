"""Pictures of other things, counted by hand."""

from __future__ import annotations

from edge.base.intervals import wilson_interval
from edge.evaluation.others import Others, measured, table

SHOWN = ("rose", "unknown", "rose", "daisy", "unknown")
PROBABILITY = (0.95, 0.99, 0.9, 0.8, 0.5)


def found() -> Others:
    return measured("pictures", SHOWN, PROBABILITY, [0.9, 0.8, 0.7, 0.6], [0.95, -1.9, 0.9, 0.8, 0.5])


def test_named_is_what_is_not_called_unknown_and_surely_what_is_named_with_nine_tenths() -> None:
    one = found()
    assert one.pictures == 5
    assert (one.named.low, one.named.high) == wilson_interval(3, 5)
    assert (one.named.value, one.named_surely.value) == (0.6, 0.4)  # "unknown" with 0.99 names nothing
    assert one.named_as == (("rose", 2), ("daisy", 1))
    assert one.to_json()["named_as"] == {"rose": 2, "daisy": 1}


def test_auroc_and_what_is_accepted_are_by_surety() -> None:
    one = found()
    assert one.auroc == 10 / 20  # 9 pairs, and two ties
    assert one.fpr_at_95 == 0.6  # the least known surety is 0.6


def test_the_table_has_a_line_a_folder_below_its_heads() -> None:
    heads, line = table([found()])
    assert heads.split("  ")[1] == "pictures of other things"
    for part in ("pictures", "60.0% (", "40.0% (", "60.0%", "rose 2, daisy 1"):
        assert part in line
    assert heads.index("AUROC") == line.index(f"{found().auroc:.3f}")


def test_a_folder_in_which_nothing_is_named_has_no_class() -> None:
    none = measured("pictures", ("unknown",), (0.4,), [0.5], [0.4])
    assert none.named_as == ()
    assert table([none])[1].endswith(" -")
