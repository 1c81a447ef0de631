"""What the documentation claims is so: commands, settings, keys, names and links exist."""

import re
import shlex
from pathlib import Path

import click
import pytest

import hindcast.formats
import hindcast.plan
import hindcast.rollups
import hindcast.synthetic
from flows.cli import cli
from flows.terminal import INTERRUPTED
from hindcast import rollup_tables  # noqa: F401  # adds its tables
from hindcast.errors import ConfigurationError, HindcastError
from hindcast.findings import begin, build_report
from hindcast.plan import Request
from hindcast.settings import Settings
from hindcast.tables import metadata

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *DOCS.rglob("*.md")])
README, OPERATIONS = (page.read_text("utf-8") for page in (ROOT / "README.md", DOCS / "operations.md"))
PROSE = {page: page.read_text("utf-8") for page in PAGES}
LINK = re.compile(r"\]\(([^)\s]+)\)")
CODE = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def slug(heading: str) -> str:
    """The anchor GitHub gives a heading."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def commands() -> list[str]:
    """Every `hindcast ...` line of the shell blocks, and every one named in running text."""
    lines = [line for text in PROSE.values() for block in CODE.findall(text) for line in block.splitlines()]
    named = [quote for text in PROSE.values() for quote in re.findall(r"`(hindcast [^`]*)`", text)]
    found = [line for line in lines + named if line.startswith("hindcast ")]
    return sorted({line.partition("  #")[0].replace("…", "").strip() for line in found})


def resolve(words: list[str]) -> tuple[click.Command, list[str]]:
    """The command that words name, and what is left of them."""
    command: click.Command = cli
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        found = command.commands.get(words[0])
        assert found, f"no command {words[0]!r}"
        command, words = found, words[1:]
    return command, words


def table_rows(text: str, heading: str) -> list[list[str]]:
    """The rows of the first table below a heading, without its head."""
    section = text.split(f"\n{heading}\n", 1)[1]
    lines = [line for line in section.split("\n## ")[0].splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[2:]]


def describe_setting(name: str) -> list[str]:
    field = Settings.model_fields[name]
    aliases = getattr(field.validation_alias, "choices", [f"HINDCAST_{name.upper()}"])
    default = "" if field.default in (None, "") else f"`{field.default}`"
    return [", ".join(f"`{alias}`" for alias in aliases if alias.isupper()), default, str(field.description)]


@pytest.mark.parametrize("line", commands())
def test_every_command_named_exists_with_its_options(line: str) -> None:
    command, words = resolve(shlex.split(re.split(r" \| | && ", line)[0])[1:])
    if "--" in words:
        words = words[: words.index("--")]
    offered = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    offered |= set(command.get_help_option_names(click.Context(command))) | {"--help", "--version"}
    assert not [word for word in words if word.startswith("-") and word not in offered]


def test_every_command_is_documented() -> None:
    groups = {name: command for name, command in cli.commands.items() if isinstance(command, click.Group)}
    names = {f"{name} {inner}" for name, group in groups.items() for inner in group.commands}
    names |= cli.commands.keys() - groups.keys()
    assert not [name for name in names if f"hindcast {name}" not in README + OPERATIONS]


@every_page
def test_make_targets_named_exist(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"(?:^|`)make ([a-z-]+)", PROSE[page], re.MULTILINE)) <= targets


def test_the_readme_names_the_commands_a_newcomer_needs() -> None:
    for command in ("make demo", "make test", "make check", "make bench", "--dry-run", "--plan", "hindcast verify"):
        assert command in README


@every_page
def test_links_lead_somewhere(page: Path) -> None:
    for target in LINK.findall(PROSE[page]):
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        found = (page.parent / path).resolve() if path else page
        assert found.exists(), target
        headings = (
            [line.lstrip("#") for line in found.read_text("utf-8").splitlines() if line.startswith("#")]
            if anchor
            else []
        )
        assert not anchor or anchor in map(slug, headings), target


@every_page
def test_no_page_holds_a_path_of_somebodys_machine(page: Path) -> None:
    assert not re.search(r"(?<![\w.])/(tmp|home|root|Users|work|srv|mnt)/", PROSE[page])


def test_every_page_of_docs_is_linked_from_the_readme_or_another_page() -> None:
    linked = {(page.parent / link.partition("#")[0]).resolve() for page in PAGES for link in LINK.findall(PROSE[page])}
    assert not [page for page in PAGES if page not in linked and page.name != "README.md"]


def test_every_picture_is_small_and_used() -> None:
    pictures = list((DOCS / "images").iterdir())
    assert pictures and all(picture.stat().st_size < 300_000 for picture in pictures)
    assert not [picture.name for picture in pictures if not any(f"images/{picture.name})" in t for t in PROSE.values())]


def test_the_settings_table_is_what_the_settings_are() -> None:
    assert table_rows(OPERATIONS, "## Settings") == [describe_setting(name) for name in Settings.model_fields]


@pytest.mark.parametrize("text", [README, OPERATIONS], ids=["readme", "operations"])
def test_exit_codes_are_those_of_the_code(text: str) -> None:
    codes = re.findall(r"^\| (\d+) \|", text, re.MULTILINE)
    expected = [0, HindcastError.exit_code, ConfigurationError.exit_code, INTERRUPTED]
    assert codes == [str(code) for code in expected]


def test_the_reports_keys_are_those_of_the_code(tmp_path: Path) -> None:
    report = build_report(begin(Request("export.jsonl"), is_dry_run=True), "failed", tmp_path / "report.html")
    rows = table_rows((DOCS / "report.md").read_text("utf-8"), "## Keys of `report.json`")
    assert sorted(key.strip("`") for key, *_ in rows) == sorted(report)


def test_the_ledgers_tables_are_listed() -> None:
    rows = table_rows(OPERATIONS, "## The tables of the ledger")
    listed = {name for name, *_ in rows}
    assert {f"`{name}`" for name in metadata.tables if name.startswith("import_")} <= listed
    assert all(f"`{rollup}`" in OPERATIONS for rollup in hindcast.rollups.ROLLUPS)


@pytest.mark.parametrize("name", ["adding-a-format.md", "adding-a-rollup.md"])
def test_what_the_guides_refer_to_exists(name: str) -> None:
    quoted = re.findall(r"`([\w./<>-]+)`", (DOCS / name).read_text("utf-8"))
    paths = [quote for quote in quoted if quote.endswith((".py", ".json", ".sql", "/")) and "<" not in quote]
    assert paths
    missing = [path for path in paths if "/" in path and not (ROOT / path).exists()]
    assert not missing


def test_adding_a_format_names_what_a_format_has() -> None:
    text = (DOCS / "adding-a-format.md").read_text("utf-8")
    steps = re.findall(r"^\d+\. ", text, re.MULTILINE)
    assert len(steps) == 10
    assert "`hindcast/formats/__init__.py`" in text and hindcast.formats.FORMATS
    assert "`GENERATORS`" in text and hindcast.synthetic.GENERATORS
    assert "`LINE_LIMITS`" in text and hindcast.plan.LINE_LIMITS
    for module in hindcast.formats.FORMATS.values():
        assert all(
            f"`{name}`" in text and hasattr(module, name)
            for name in ("NAME", "OPTIONS", "detect", "decode", "encode", "redact")
        )


@pytest.mark.parametrize("name", sorted(hindcast.formats.FORMATS))
def test_every_format_has_what_the_guide_asks_for(name: str) -> None:
    assert (DOCS / "formats" / f"{name}.md").exists()
    assert list((ROOT / "tests" / "gold" / name).glob("*/expected.json"))
    assert (ROOT / "tests" / f"test_{name}.py").exists()
    assert name in hindcast.synthetic.GENERATORS
    assert (ROOT / "expectations" / f"{name}.json").exists()
