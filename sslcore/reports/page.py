"""Pages: one HTML file that makes no request, for light and dark screens, wide and narrow."""

from __future__ import annotations

import base64
from collections.abc import Container, Mapping, Sequence
from html import escape

from sslcore.system.printable import printable

#: The marks of the best score: by more than the spread, and within it.
BEYOND, WITHIN = " **", " *"

_STYLE = """
:root { color-scheme: light dark; --text: #1b1b1b; --page: #ffffff; --soft: #f3f4f6;
  --line: #d5d7db; --link: #0b57a4; --mark: #fff1c2; }
@media (prefers-color-scheme: dark) { :root { --text: #e6e6e6; --page: #16181c; --soft: #22252b;
  --line: #3b3f46; --link: #8cc2ff; --mark: #5a4a12; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1120px; padding: 16px; color: var(--text);
  background: var(--page); font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.6rem; margin: 0.4rem 0; overflow-wrap: anywhere; }
h2 { font-size: 1.2rem; margin: 2rem 0 0.3rem; }
p { margin: 0.3rem 0 0.7rem; max-width: 46rem; }
.wide { overflow-x: auto; margin-bottom: 0.8rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: 4px 14px 4px 0; border-bottom: 1px solid var(--line);
  vertical-align: top; }
td.number, th.number { text-align: right; }
figure { margin: 0; background: #ffffff; border-radius: 6px; padding: 8px; overflow-x: auto;
  border: 1px solid var(--line); }
img { display: block; max-width: 100%; height: auto; }
@media (max-width: 600px) { img { max-width: none; } }
pre { background: var(--soft); padding: 10px; border-radius: 6px; overflow-x: auto;
  font-size: 0.85rem; }
mark { background: var(--mark); color: inherit; }
details { margin: 0.5rem 0; }
summary { cursor: pointer; color: var(--link); }
nav { display: flex; flex-wrap: wrap; gap: 4px 14px; margin: 0.8rem 0; }
nav a { color: var(--link); }
.verdict { background: var(--soft); padding: 10px 14px; border-radius: 6px; }
"""


def page(title: str, parts: Sequence[str]) -> str:
    """Return an HTML page of parts that are HTML already."""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        # Without an icon in the page, a browser asks for one.
        f'<link rel="icon" href="data:,">\n<title>{text(title)}</title>\n'
        f"<style>{_STYLE}</style>\n</head>\n<body>\n<h1>{text(title)}</h1>\n"
        + "\n".join(parts)
        + "\n</body>\n</html>\n"
    )


def text(value: object) -> str:
    """Return a value as text of a page: escaped, without control characters."""
    return escape(printable(str(value)))


def section(key: str, title: str, *parts: str) -> str:
    """Return a section with its heading."""
    return f'<section id="{text(key)}">\n<h2>{text(title)}</h2>\n' + "\n".join(parts) + "</section>"


def paragraph(words: str, *, verdict: bool = False) -> str:
    """Return a paragraph."""
    return f"<p{' class=verdict' if verdict else ''}>{text(words)}</p>"


def picture(png: bytes, words: str) -> str:
    """Return a picture, held by the page itself.

    Args:
        png: the file.
        words: what it shows, for those who can't see it.
    """
    data = base64.b64encode(png).decode()
    return f'<figure><img alt="{text(words)}" src="data:image/png;base64,{data}"></figure>'


def table(
    heads: Sequence[str],
    rows: Sequence[Sequence[object]],
    bold: Container[tuple[int, int]] = (),
) -> str:
    """Return a table; columns whose cells are all numbers are set to the right.

    Args:
        heads: the heads of the columns.
        rows: the cells.
        bold: the cells that stand out, (row, column).
    """
    right = [
        all(_is_number(row[column]) for row in rows) and bool(rows) for column in range(len(heads))
    ]
    classes = [' class="number"' if each else "" for each in right]
    head = "".join(
        f"<th{kind}>{text(name)}</th>" for name, kind in zip(heads, classes, strict=True)
    )
    body = ""
    for number, row in enumerate(rows):
        cells = [
            f"<b>{text(cell)}</b>" if (number, column) in bold else text(cell)
            for column, cell in enumerate(row)
        ]
        body += "<tr>" + "".join(
            f"<td{kind}>{cell}</td>" for cell, kind in zip(cells, classes, strict=True)
        )
        body += "</tr>\n"
    return f'<div class="wide"><table><tr>{head}</tr>\n{body}</table></div>'


def _is_number(cell: object) -> bool:
    try:
        plain = str(cell).removesuffix(BEYOND).removesuffix(WITHIN).partition(" ±")[0]
        float(plain.replace(",", "").replace("–", "0"))
    except ValueError:
        return False
    return True


def facts(given: Mapping[str, object]) -> str:
    """Return names and values as a table without heads."""
    rows = "".join(
        f"<tr><th>{text(name)}</th><td>{text(value)}</td></tr>\n" for name, value in given.items()
    )
    return f'<div class="wide"><table>{rows}</table></div>'


def folded(title: str, content: str, *, opened: bool = False) -> str:
    """Return content that a click unfolds."""
    return (
        f"<details{' open' if opened else ''}><summary>{text(title)}</summary>{content}</details>"
    )


def code(words: str, marked: Sequence[int] = ()) -> str:
    """Return code, with some lines marked."""
    lines = [
        f"<mark>{text(line)}</mark>" if number in marked else text(line)
        for number, line in enumerate(words.splitlines())
    ]
    return "<pre>" + "\n".join(lines) + "</pre>"


def links(targets: Mapping[str, str]) -> str:
    """Return links to sections of the page, by key with their titles."""
    found = "".join(f'<a href="#{text(key)}">{text(title)}</a>' for key, title in targets.items())
    return f"<nav>{found}</nav>"
