"""A link on a page leads somewhere."""

from __future__ import annotations

import pytest

from tests.project.pages import anchors, links, name_of, pages


@pytest.mark.parametrize("page", pages(), ids=name_of)
def test_every_relative_link_leads_to_a_file_and_heading(page):
    broken = []
    for link in links(page):
        if "://" in link or link.startswith("mailto:"):
            continue
        target, _, heading = link.partition("#")
        path = (page.parent / target).resolve() if target else page
        if not path.exists():
            broken.append(f"{link}: there is no such file")
        elif heading and heading not in anchors(path):
            broken.append(f"{link}: {name_of(path)} has only {sorted(anchors(path))}")
    assert not broken, f"{name_of(page)} has broken links\n" + "\n".join(broken)
