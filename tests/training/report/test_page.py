"""The parts of a page: text stays text, tables keep their shape. Whole pages: test_report.py, here and of export."""

from __future__ import annotations

from training.report.page import Markup, boxes, element, pairs, table


def test_text_is_escaped_once_and_markup_is_kept() -> None:
    inner = element("b", "rose & thorn")
    assert inner == "<b>rose &amp; thorn</b>"
    assert element("p", inner, " <i>") == "<p><b>rose &amp; thorn</b> &lt;i&gt;</p>"


def test_attributes_cannot_break_out() -> None:
    assert element("p", class_='a" onclick="b') == '<p class="a&quot; onclick=&quot;b"></p>'


def test_a_table_has_a_head_and_names_its_rows() -> None:
    found = table(("class", "photos"), [("rose", "3"), ("tulip", "4")])
    assert isinstance(found, Markup)
    assert found.startswith('<div class="scroll"><table><tr><th>class</th><th>photos</th></tr>')
    assert '<tr><th scope="row">tulip</th><td>4</td></tr>' in found


def test_pairs_are_a_table_without_a_head() -> None:
    row = '<tr><th scope="row">seed</th><td>7</td></tr>'
    assert pairs([("seed", "7")]) == f'<div class="scroll"><table class="plain">{row}</table></div>'


def test_boxes_stand_side_by_side() -> None:
    found = boxes([("95%", "top-1", "of 100"), ("0.02", "error", "15 bins")])
    assert found.count('class="box"') == 2
    assert "<strong>95%</strong><span>top-1</span><small>of 100</small>" in found
