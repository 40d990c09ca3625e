"""A report as a browser shows it: no complaint, nothing empty, no word over another."""

from __future__ import annotations

import html
import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from pages import BROWSER
from synthetic import LOSSES, SUBSETS, Row, Store

from analysis.report import read_report, to_page

ROWS = (
    *LOSSES[:3],
    *(Row(name=f"pool_{i}", axis="pooling", level=str(i), effect=0.02 * i) for i in range(4)),
    Row(name="dqn", stage="fuse", effect=0.2, meta={"diagnostics": {
        "mean_alpha_benign": 0.3, "mean_alpha_attack": 0.7}}),
    Row(name="moe", stage="fuse", effect=0.1, meta={"diagnostics": {
        "expert_usage_0": 0.6, "expert_usage_1": 0.4}}),
    LOSSES[-1],
)  # fmt: skip
MEASURE = """
<script>
const found = [...document.querySelectorAll('svg')].map(svg => {
  const frame = svg.getBoundingClientRect();
  const words = [...svg.querySelectorAll('text')]
    .map(text => [text.textContent.trim(), text.getBoundingClientRect()])
    .filter(([text, box]) => text && box.width > 0);
  // A box is as high as its line, and higher than its letters.
  const cover = (a, b) => Math.min(a.right, b.right) - Math.max(a.left, b.left) > 2
    && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 4;
  const out = box => box.left < frame.left - 1 || box.right > frame.right + 1
    || box.top < frame.top - 1 || box.bottom > frame.bottom + 1;
  return {
    name: svg.parentElement.id, height: frame.height, width: frame.width,
    outside: words.filter(([, box]) => out(box)).map(([text]) => text),
    overlaps: words.flatMap(([text, box], i) => words.slice(i + 1)
      .filter(([, other]) => cover(box, other)).map(([other]) => text + ' | ' + other)),
  };
});
const height = document.documentElement.scrollHeight;
const wide = document.documentElement.scrollWidth > document.documentElement.clientWidth;
document.body.innerHTML = '<pre></pre>';
document.querySelector('pre').textContent = JSON.stringify({height, wide, found});
</script>
"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(BROWSER is None, reason="no headless browser is installed"),
]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("browser")
    store = Store(
        rows=ROWS, datasets=("a", "b"), seeds=range(5), subsets=(*SUBSETS, "test_05_suppress"),
        scores=True,
    )  # fmt: skip
    path = folder / "report.html"
    path.write_text(to_page(read_report(store.write(folder / "store"), "g"), "Does it matter?"))
    return path


def browse(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [
        str(BROWSER), "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
        "--enable-logging=stderr", "--window-size=1100,1400", *arguments,
    ]  # fmt: skip
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)


def measured(page: Path) -> dict[str, Any]:
    """What a script that is added to the page finds in it."""
    probe = page.with_name("measured.html")
    probe.write_text(page.read_text().replace("</body>", f"{MEASURE}</body>"))
    done = browse("--dump-dom", f"file://{probe}")
    assert "CONSOLE" not in done.stderr
    told = re.search(r"<pre>(.*?)</pre>", done.stdout, re.DOTALL)
    assert told is not None
    found: dict[str, Any] = json.loads(html.unescape(told[1]))
    return found


def test_no_word_of_a_figure_covers_another(page: Path) -> None:
    told = measured(page)
    assert told["height"] > 2000
    assert not told["wide"], "the page is wider than its window"
    assert len(told["found"]) > 15
    for figure in told["found"]:
        assert figure["height"] > 50, figure
        assert figure["width"] > 200, figure
        assert figure["outside"] == [], figure["name"]
        assert figure["overlaps"] == [], figure["name"]


def test_a_page_is_shown_and_printed_without_a_complaint(page: Path) -> None:
    shot, paper = page.with_name("page.png"), page.with_name("page.pdf")
    for argument in (f"--screenshot={shot}", f"--print-to-pdf={paper}"):
        done = browse(argument, "--no-pdf-header-footer", f"file://{page}")
        assert "CONSOLE" not in done.stderr
    assert shot.read_bytes().startswith(b"\x89PNG")
    assert shot.stat().st_size > 20_000, "the page looks empty"
    assert len(re.findall(rb"/Type\s*/Page\b", paper.read_bytes())) > 3
