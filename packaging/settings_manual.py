"""mailroom.toml(5), the manual page of the settings file, from docs/configuration.md: its introduction, its table, its
example and the environment. Run: settings_manual.py docs/configuration.md VERSION. Prints troff source without a date.
"""

import re
import sys
from pathlib import Path

SPECIAL = {"\\": r"\(rs", "-": r"\-", "'": r"\(aq", '"': r"\(dq", "–": r"\(en", "…": r"\&..."}
LINK = re.compile(r"\[([^\]]+)\]\(([^)]+)\)")


def plain(text):
    return "".join(SPECIAL.get(character, character) for character in text)


def without_links(document):
    """Links as text: "text (file)"; one within the document names its heading."""
    headings = {title.lower().replace(" ", "-"): title for title in re.findall(r"^#+ (.+)$", document, re.M)}

    def link(found):
        text, target = found.groups()
        file, _, heading = target.partition("#")
        if not file:
            return f'see "{headings[heading]}" in configuration.md'
        return text if file.startswith("http") else f"{text} ({file.removeprefix('../')})"

    return LINK.sub(link, document)


def troff(text):
    """A paragraph of Markdown in one line: `code` is bold, *emphasis* italic."""
    parts = " ".join(text.split()).split("`")
    out = []
    for index, part in enumerate(parts):
        if index % 2:
            out.append(rf"\fB{plain(part)}\fR")
        else:
            out.append(re.sub(r"\*+([^*]+)\*+", r"\\fI\1\\fR", plain(part)))
    return re.sub(r"^([.'])", r"\\&\1", "".join(out))


def section(document, heading):
    """The lines below a heading, up to the next."""
    found = re.search(rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", document, re.M | re.S)
    if not found:
        raise SystemExit(f'docs/configuration.md has no section "{heading}": the manual page is made from it')
    return found[1]


def rows(text):
    """The cells of a table's rows without its head."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[2:]]


def paragraphs(text):
    """What is neither example nor table."""
    prose = re.sub(r"^```.*?^```$|^<!--.*?-->$|^\|.*?$", "", text, flags=re.M | re.S)
    return [block for block in prose.split("\n\n") if block.strip()]


def settings(text):
    """A heading for each table of the file, an entry for each key."""
    out, table = [], None
    for key, default, values, meaning in rows(text):
        in_table, name = re.fullmatch(r"`\[(\w+)\]` `(\w+)`", key).groups()
        if in_table != table:
            table = in_table
            out.append(f".SS [{plain(table)}]")
        is_default = troff(default) if default == "required" else f"default: {troff(default)}"
        out += [".TP", rf"\fB{plain(name)}\fR = {troff(values)} ({is_default})", troff(meaning)]
    return out


def example(text):
    code = re.search(r"```toml\n(.*?)```", text, re.S)[1]
    return [".EX", *(plain(line) for line in code.splitlines()), ".EE"]


def environment(text):
    return [line for name, meaning in rows(text) for line in (".TP", troff(name), troff(meaning))]


def page(document, version):
    document = without_links(document)
    file = section(document, "The settings file")
    first, *more = paragraphs(file)
    return "\n".join([
        f'.TH MAILROOM.TOML 5 "" "mailroom {version}" "mailroom"', ".nh", ".ad l",
        ".SH NAME", r"mailroom.toml \- settings file of mailroom",
        ".SH DESCRIPTION", troff(first), *(line for block in more for line in (".PP", troff(block))),
        ".SH SETTINGS", *settings(file), ".SH EXAMPLE", *example(file),
        ".SH ENVIRONMENT", *environment(section(document, "Environment")),
        ".SH SEE ALSO", r"\fBmailroom\fR(1), \fI/usr/share/doc/mailroom/docs/configuration.md\fR", ""])


if __name__ == "__main__":
    sys.stdout.write(page(Path(sys.argv[1]).read_text(encoding="utf-8"), sys.argv[2]))
