"""The catalogue of log lines in docs/operations.md is the program's: the same ids, each at its level."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
OPERATIONS = (ROOT / "docs" / "operations.md").read_text()
CATALOGUE = OPERATIONS.split("## What the log says")[1].split("\n## ")[0] if "## What the log says" in OPERATIONS else ""
LEVELS = {"debug", "info", "warning", "error"}


def sources():
    return {path: path.read_text() for path in (ROOT / "service").rglob("*.cpp")}


def said():
    """{(id, level)} of all lines that the program may write, outcomes aside."""
    calls = [re.findall(r'\blog::(\w+)\(\s*"(\w+)"', text) + re.findall(r'LogLevel::(\w+),\s*"(\w+)"', text) for text in sources().values()]
    return {(name, level) for found in calls for level, name in found if level in LEVELS}


def outcomes():
    """What a message's line may be called: its end, or why it is put back."""
    source = (ROOT / "service" / "outgoing.cpp").read_text()
    ends = re.search(r"outcome_name\(.*?\n\}", source, re.DOTALL)[0]
    unsent = re.search(r"CASE WHEN .* AS unsent", (ROOT / "queue" / "sql" / "expire.sql").read_text())[0]
    return set(re.findall(r'return "(\w+)"', ends)) | set(re.findall(r"'(\w+)'", unsent)) | {name for line in re.findall(r"suspension\.event = (.*);", source)
                                                       for name in re.findall(r'"(\w+)"', line)}


def documented():
    """[(id, level, meaning and remedy)], in the order of the page."""
    return re.findall(r"^\| `(\w+)` \| (\w+) \| (.+) \|$", CATALOGUE, re.MULTILINE)


def test_every_line_of_the_log_is_in_the_catalogue_at_its_level_and_no_other():
    assert len(said()) > 30
    assert {(name, level) for name, level, _ in documented()} == said() | {(name, "info") for name in outcomes()}


def test_no_line_stands_in_the_catalogue_twice():
    names = [name for name, _, _ in documented()]
    assert sorted(names) == sorted(set(names))


def test_an_id_is_written_as_a_literal_so_that_it_can_be_found():
    for path, text in sources().items():
        for call in re.findall(r"\blog::(?:debug|info|warning|error)\(([^,)]*)", text):
            assert re.fullmatch(r'\s*"\w+"', call), f"{path.name}: {call}"


def test_what_is_no_normal_life_says_what_to_do():
    for name, level, meaning in documented():
        assert level in ("info", "debug") or len(re.split(r"[.:;] ", meaning)) > 1, f"{name}: what it means, and then what to do"
