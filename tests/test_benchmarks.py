"""What the benchmarks compute: pages with sections, the loops they compare, and the counted work."""

import pytest

from benchmarks.report import replace_section


def test_a_section_is_appended_once_and_then_replaced_with_the_words_around_it_kept(tmp_path):
    page = tmp_path / "docs" / "page.md"
    replace_section(page, "speed", "first")
    assert page.read_text() == "<!-- speed:begin -->\nfirst\n<!-- speed:end -->\n"
    page.write_text(f"# Title\n\n{page.read_text()}\nBy hand.\n")
    replace_section(page, "data", "other")
    replace_section(page, "speed", "\nsecond\n")
    assert page.read_text() == (
        "# Title\n\n<!-- speed:begin -->\nsecond\n<!-- speed:end -->\n\nBy hand.\n\n"
        "<!-- data:begin -->\nother\n<!-- data:end -->\n"
    )


@pytest.mark.parametrize("broken", ["<!-- speed:begin -->", "<!-- speed:end -->\n<!-- speed:begin -->"])
def test_a_page_with_broken_markers_is_refused_and_left_alone(tmp_path, broken):
    page = tmp_path / "page.md"
    page.write_text(broken)
    with pytest.raises(ValueError, match="speed:end"):
        replace_section(page, "speed", "new")
    assert page.read_text() == broken
