"""What outlives the Flora that wrote it: which formats are read, and fields more or fewer than a dataclass has."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from edge.base.formats import Lasting, if_missing, plain, read_fields, remark, require_readable, strange


@dataclass(frozen=True)
class Leaf(Lasting):
    share: float
    note: str | None = None


@dataclass(frozen=True)
class Plant(Lasting):
    name: str
    leaves: tuple[Leaf, ...] = field(metadata=if_missing(()))
    best: Leaf | None = field(metadata=if_missing(None))
    tags: dict[str, str] = field(metadata=if_missing({"kind": "tree"}))
    height: int = 3
    format: int | str = 1
    settings: Mapping[str, Any] = field(default_factory=dict)
    rows: list[dict[str, Any]] = field(default_factory=list)


@pytest.mark.parametrize("found", [1, 2, "1", "2", "2.0", "2.9", 2.5, 0, "1.10"], ids=repr)
def test_a_format_of_this_major_number_or_an_older_is_read(found: Any) -> None:
    require_readable(found, 2)


@pytest.mark.parametrize("found", [3, "3", "3.0", 3.1, 99, 10**8], ids=repr)
def test_a_newer_major_number_is_refused(found: Any) -> None:
    with pytest.raises(ValueError, match=rf"^is of format {found}, this Flora reads format 2; update Flora$"):
        require_readable(found, 2)


@pytest.mark.parametrize("found", [None, True, "", "x", "1.", "-1", -1, "1.2.3", [2], {}, 10**30, "9" * 500], ids=str)
def test_what_is_no_format_is_refused(found: Any) -> None:
    with pytest.raises(ValueError, match=r"^names the format .*, expected a number$") as caught:
        require_readable(found, 2)
    assert len(str(caught.value)) < 100


def test_a_record_comes_back_as_it_was() -> None:
    whole = Plant(
        "rose", (Leaf(0.5), Leaf(1.0, "big")), Leaf(0.0), {"a": "b"}, 7, "1.2", {"x": [1, None]}, [{"y": 1.5}]
    )
    assert read_fields(Plant, json.loads(json.dumps(plain(whole)))) == whole


def test_what_is_missing_has_the_default_that_the_dataclass_states() -> None:
    assert read_fields(Plant, {"name": "rose"}) == Plant("rose", (), None, {"kind": "tree"}, 3, 1, {}, [])


def test_records_share_no_default() -> None:
    one, other = (read_fields(Plant, {"name": "rose"}) for _ in range(2))
    one.tags["kind"] = "shrub"
    assert other.tags == {"kind": "tree"}


def test_what_is_not_known_is_kept_at_its_place() -> None:
    content = {"name": "rose", "age": 3, "leaves": [{"share": 0.5, "vein": [1]}, {"share": 1, "vein": 2, "rib": 3}]}
    found = read_fields(Plant, content)
    assert found.others == {"age": 3}
    assert [leaf.others for leaf in found.leaves] == [{"vein": [1]}, {"vein": 2, "rib": 3}]
    assert strange(found) == ["age", "leaves.vein", "leaves.rib"]
    written = plain(found)
    assert {name: written[name] for name in ("name", "age")} == {"name": "rose", "age": 3}
    assert [dict(leaf) for leaf in written["leaves"]] == [
        {"share": 0.5, "note": None, "vein": [1]}, {"share": 1.0, "note": None, "vein": 2, "rib": 3}
    ]  # fmt: skip


def test_a_field_called_others_is_one_that_is_not_known() -> None:
    found = read_fields(Leaf, {"share": 1.0, "others": {"share": 2.0}})
    assert found == Leaf(1.0, others={"others": {"share": 2.0}})
    assert plain(found)["others"] == {"share": 2.0}


def test_what_was_read_already_is_taken_as_it_is() -> None:
    assert read_fields(Leaf, {"share": "half"}, share=0.5) == Leaf(0.5)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"name": 3}, "name is 3, expected text"),
        ({"name": None}, "name is None, expected text"),
        ({"height": "3"}, "height is '3', expected a whole number"),
        ({"height": 3.0}, "height is 3.0, expected a whole number"),
        ({"height": True}, "height is True, expected a whole number"),
        ({"height": 2**60}, "height is 1152921504606846976, expected a whole number"),
        ({"format": None}, "format is None, expected a whole number"),
        ({"leaves": {}}, "leaves is {}, expected a list"),
        ({"leaves": [3]}, "leaves is 3, expected a JSON object"),
        ({"leaves": [{}]}, "leaves share is missing"),
        ({"best": {"share": True}}, "best share is True, expected a number"),
        ({"best": {"share": float("nan")}}, "best share is nan, expected a number"),
        ({"best": {"share": float("inf")}}, "best share is inf, expected a number"),
        ({"best": {"share": 10**400}}, "best share is 1"),
        ({"best": {"share": 1, "note": 5}}, "best note is 5, expected text"),
        ({"tags": {"a": 1}}, "tags 'a' is 1, expected text"),
        ({"settings": []}, "settings is [], expected a JSON object"),
    ],
    ids=str,
)
def test_a_value_of_another_type_is_told_in_one_line(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011  its whole text is compared
        read_fields(Plant, {"name": "rose"} | changes)
    assert str(caught.value).startswith(said)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("content", [None, [], "x", 3], ids=repr)
def test_what_is_no_object_is_told_in_one_line(content: Any) -> None:
    with pytest.raises(ValueError, match="expected a JSON object"):
        read_fields(Plant, content)


def test_the_line_for_a_person_is_short_and_printable() -> None:
    assert remark("f", []) == ()
    (line,) = remark("f", ["a\nb", "\x1b[2J", "x" * 1000])
    assert line.startswith("f: holds what this Flora does not know and leaves as it is: a?b, ?[2J, xxx")
    assert line.isprintable()
    assert len(line) < 250
