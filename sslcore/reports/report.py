"""`report.html` in the folder of a run, and its pictures in `figures/`."""

from __future__ import annotations

import shlex
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import sslcore
from sslcore.contract.stages import DATA_SECTIONS
from sslcore.errors import RunFolderError, SslcoreError, first_line
from sslcore.evaluation.evaluate import ENCODER, PIXELS, RANDOM_INIT
from sslcore.evaluation.table import cells_of, heading, is_best, lead, test_images, verdict
from sslcore.recipe.recipe import FROM, Recipe
from sslcore.recipe.request import Request
from sslcore.recipe.resolve import resolve
from sslcore.reports import page
from sslcore.reports.figures import style, to_png
from sslcore.reports.maps import DEFAULT_MAP
from sslcore.reports.material import Material
from sslcore.reports.pixels import colour_note
from sslcore.reports.sections import SECTIONS, Section
from sslcore.system.environment import is_on
from sslcore.system.files import write_safely
from sslcore.training.opening import name_of

if TYPE_CHECKING:
    from pathlib import Path

    from sslcore.registry.registry import Registry
    from sslcore.runs.folder import Run
    from sslcore.training.session import Session

REPORT, FIGURES = "report.html", "figures"

#: Environment: 0 leaves out the reports that runs write by themselves.
WANTED = "SSLCORE_REPORT"

#: Seconds after which no other picture is begun.
_ENOUGH = 60.0


def wants_reports() -> bool:
    """Whether runs write a report by themselves, as the environment says."""
    return is_on(WANTED, default=True)


def write_report(session: Session, run: Run, registry: Registry, *, map: str = DEFAULT_MAP) -> Path:
    """Write the report of a run and return its path.

    A picture that fails is left out, with the reason in its place.

    Args:
        session: the recipe with data and pipeline; the pipeline holds the trained weights.
        run: the run's folder.
        registry: the installed parts, among which the method's defaults are looked up.
        map: how the features are placed on their map: a name of `sslcore.reports.maps.MAPS`.

    Raises:
        RunFolderError: the report can't be written.
    """
    material = Material(session, run, map)
    folder = run.path / FIGURES
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise RunFolderError(f"{folder} can't be made: {error.strerror}") from error
    started = time.monotonic()
    parts, shown = [], {}
    with suppress(Exception):
        # This starts a thread that makes the map. An error is shown in the section of the map.
        _ = material.mapped
    for section in SECTIONS:
        late = time.monotonic() - started > _ENOUGH
        png, why = (None, "the report took too long") if late else _drawn(section, material)
        file = folder / f"{section.key}.png"
        if png is None:
            file.unlink(missing_ok=True)
            if not why:
                continue
            body = page.paragraph(f"Left out: {why}.")
        else:
            write_safely(file, png)
            body = page.picture(png, section.title)
        shown[section.key] = section.title
        lead = [page.paragraph(_worded(section.text, material.shown))]
        if section.note is not None and png is not None:
            lead.append(page.paragraph(section.note(material)))
        if section.images and (shown_as := colour_note(session.shape.channels)):
            lead.append(page.paragraph(shown_as))
        if section.key == "scores":
            lead += [*_fine_tuning(material), _score_table(material)]
        parts.append(page.section(section.key, section.title, *lead, body))
    about = {"data": "Data", "recipe": "Recipe", "again": "Repeat this run"}
    title = f"{session.recipe.method} on {session.recipe.data.name}"
    content = page.page(
        title,
        [
            page.paragraph(_verdict(material), verdict=True),
            page.facts(_facts(material)),
            page.links(shown | about),
            *parts,
            page.section("data", about["data"], *_about_data(material)),
            page.section("recipe", about["recipe"], *_about_recipe(material, registry)),
            page.section("again", about["again"], *_again(run)),
        ],
    )
    path = run.path / REPORT
    write_safely(path, content)
    return path


def _worded(text: str, shown: str) -> str:
    return text.replace("{images}", shown).replace("{Images}", shown.capitalize())


def _drawn(section: Section, material: Material) -> tuple[bytes | None, str]:
    """Return the picture of a section, or None and the reason; no reason: nothing to show."""
    if section.labels and (why := material.without_classes):
        return None, why
    try:
        with style():
            figure = section.draw(material)
            return (None, "") if figure is None else (to_png(figure), "")
    except Exception as error:  # noqa: BLE001 - a picture that fails costs itself alone
        return None, f"it could not be drawn ({type(error).__name__}: {first_line(error)})"


def _verdict(material: Material) -> str:
    if not material.table:
        return "This run has not been evaluated, so nothing is known of its features."
    if not any(material.table.get(column) for column in (RANDOM_INIT, PIXELS)):
        said = () if material.fine_tuning is None else material.fine_tuning.conclusions()
        return " ".join(f"{each[:1].upper()}{each[1:]}." for each in said) or (
            "These scores have no baselines."
        )
    warning = verdict(material.table, material.details)
    if warning:
        return warning[:1].upper() + warning[1:] + "."
    return "The trained encoder is better than both baselines on every metric, beyond the spread."


def _fine_tuning(material: Material) -> list[str]:
    """Return the table of a fine-tuning, where the run is one."""
    scores = material.fine_tuning
    if scores is None:
        return []
    said = (
        "The same training with other beginnings, on the same labelled images; ± is the standard "
        "deviation over the seeds. The first row is this run and its repetitions."
    )
    return [page.paragraph(said), page.table(*scores.rows())]


def _score_table(material: Material) -> str:
    table, details = material.table, material.details
    baselines = [column for column in (RANDOM_INIT, PIXELS) if column in table]
    heads, rows = cells_of(table, details)
    heads += [f"better than {heading(column, details)} by" for column in baselines]
    bold = set()
    for number, row in enumerate(rows):
        name = row[0]
        images = test_images(details, name)
        row += [lead(table, name, column, images) for column in baselines]
        row += [str(details.get(name, {}).get(key, "–")) for key in ("test_images", "step")]
        if is_best(table, name, images):
            bold.add((number, 1 + list(table).index(ENCODER)))
    return page.table([*heads, "test images", "step"], rows, bold) if rows else ""


def _facts(material: Material) -> dict[str, object]:
    recipe, training, session = material.recipe, material.recipe.training, material.session
    found: dict[str, object] = {
        "run": material.run.path,
        "encoder": f"{recipe.encoder.name}, {recipe.encoder.origin}",
        "trained on": f"{len(material.data.train):,} {session.shape}",
        "training": f"{training.epochs} epochs in batches of {training.batch_size}, seed "
        f"{training.seed}",
    }
    if material.metrics:
        found["last step"] = f"{material.metrics[-1]['step']:,}"
    # Scores during training have lines of their own, without a speed.
    speeds = [speed for line in material.metrics if (speed := line.get("images_per_second"))]
    if speeds:
        found["images per second"] = f"{speeds[-1]:,.0f} at the end"
    versions = material.run.config().get("versions")
    if isinstance(versions, dict):
        found["trained with"] = ", ".join(f"{name} {value}" for name, value in versions.items())
    found["report"] = f"by sslcore {sslcore.__version__} on {session.device}"
    return found


def _about_data(material: Material) -> list[str]:
    data = material.data
    given: dict[str, object] = {
        "data set": f"{material.recipe.data.name}, {material.recipe.data.origin}",
        "training images": f"{len(data.train):,}",
        **_elsewhere(material),
        "test images": "none" if data.test is None else f"{len(data.test):,}",
        "classes": ", ".join(data.classes[:30]) + (" …" if len(data.classes) > 30 else "")
        if data.classes
        else "none",
    }
    return [page.facts(given), *(page.paragraph(note) for note in data.notes)]


def _elsewhere(material: Material) -> dict[str, object]:
    """Return the facts on the images that evaluators use in place of those of training."""
    part = material.recipe.eval_data
    if part is None:
        return {}
    found: dict[str, object] = {"evaluated on": f"{name_of(part)}, {part.origin}"}
    return found | {"images to fit on": f"{len(material.data.fit):,}"}


def _about_recipe(material: Material, registry: Registry) -> list[str]:
    written = material.recipe.to_toml()
    usual = _usual(material.recipe, registry)
    if usual is None:
        return [page.folded("All settings", page.code(written))]
    lines = written.splitlines()
    changed = _changed(lines, usual.to_toml().splitlines())
    words = (
        f"Marked lines differ from the defaults of {material.recipe.method} on this data."
        if changed
        else f"All settings are the defaults of {material.recipe.method} on this data."
    )
    return [page.paragraph(words), page.folded("All settings", page.code(written, changed))]


def _usual(recipe: Recipe, registry: Registry) -> Recipe | None:
    """Return the recipe of the same method on the same data with nothing changed."""
    tables = recipe.to_dict()
    data = {name: tables[name] for name in DATA_SECTIONS if name in tables}
    opened = {section: _opened(table) for section, table in data.items()}
    # A data set may have settings without a default.
    for sections in (opened, data):
        try:
            config = {"method": recipe.method, **sections}
            return resolve(Request.of(config=config), registry)[0]
        except SslcoreError:
            continue
    return None


def _opened(table: object) -> dict[str, object]:
    assert isinstance(table, dict)
    return {name: value for name, value in table.items() if name in ("name", FROM, "path")}


def _changed(lines: list[str], usual: list[str]) -> list[int]:
    """Return the numbers of lines of a TOML file that the other has not in the same section."""
    known, section = set(), ""
    for line in usual:
        section = line if line.startswith("[") else section
        known.add((section, line))
    found, section = [], ""
    for number, line in enumerate(lines):
        section = line if line.startswith("[") else section
        if line.strip() and (section, line) not in known:
            found.append(number)
    return found


def _again(run: Run) -> list[str]:
    recipe = shlex.quote(str(run.recipe_path))
    return [page.code(f"sslcore train --config {recipe}")]
