"""`compare.html`: runs side by side, with their curves in one chart."""

from __future__ import annotations

from sslcore.evaluation.evaluate import PIXELS, RANDOM_INIT
from sslcore.evaluation.spread import rounded, signed
from sslcore.evaluation.table import sign_of
from sslcore.reports import page
from sslcore.reports.compare import Comparison
from sslcore.reports.curves import draw_curves
from sslcore.reports.figures import COLOURS, charts, style, to_png

#: What the marks in the table mean.
LEGEND = (
    "**: the best, by more than the spread. *: the best, but not by more than the spread. ±: the "
    "standard deviation over the seeds, or of a single run. Over: by how much the encoder is "
    "better than itself untrained, or than raw pixels. Rank: the effective rank of the "
    "projections (of the features without a head) at the end of training."
)

#: The baselines of each group, as they are called in the table.
BASELINES = {RANDOM_INIT: "untrained", PIXELS: "pixels"}


def compare_page(comparison: Comparison) -> str:
    """Return the page of a comparison."""
    groups = comparison.groups
    count = sum(len(group.runs) for group in groups)
    parts = [
        page.section(
            "scores",
            "Scores",
            *(page.paragraph(said, verdict=True) for said in comparison.sentences()),
            page.table(*rows_of(comparison)),
            page.paragraph(LEGEND),
        )
    ]
    with style():
        if comparison.metrics:
            parts.append(page.picture(_bars(comparison), "Scores of each group"))
        figure = draw_curves(
            {group.label: [run.metrics() for run in group.runs] for group in groups}
        )
        if figure is not None:
            parts.append(
                page.section("training", "Training", page.picture(to_png(figure), "Curves"))
            )
    body = (
        page.table(*settings_of(comparison))
        if comparison.differing
        else page.paragraph("No setting differs but the seed.")
    )
    parts.append(page.section("settings", "Settings that differ", body))
    folders = [[group.label, run.name, run.state] for group in groups for run in group.runs]
    parts.append(page.section("runs", "Runs", page.table(["group", "run", "state"], folders)))
    return page.page(f"{count} runs compared", parts)


def rows_of(
    comparison: Comparison,
) -> tuple[list[str], list[list[str]], set[tuple[int, int]]]:
    """Return the table of a comparison, a row for each group: heads, rows and bold cells.

    `LEGEND` explains the marks.
    """
    heads = ["runs", "seeds", *comparison.metrics, "rank", "seconds", "state"]
    rows: list[list[str]] = []
    bold, places = set(), []
    for group in comparison.groups:
        places.append(len(rows))
        rows.append(
            [
                group.label,
                group.seeds,
                *(str(group.scores.get(metric, "–")) for metric in comparison.metrics),
                group.effective_rank,
                f"{group.seconds:.1f}",
                group.state,
            ]
        )
        for baseline, name in BASELINES.items():
            leads = group.leads[baseline]
            if leads:
                cells = [
                    signed(leads[metric].mean, leads[metric].within) if metric in leads else "–"
                    for metric in comparison.metrics
                ]
                rows.append([f"  over {name}", "", *cells, "", "", ""])
    for column, metric in enumerate(comparison.metrics, 2):
        best = comparison.best(metric)
        if best is None:
            continue
        if comparison.exceeds(metric):
            bold.add((places[best], column))
            rows[places[best]][column] += page.BEYOND
        else:
            rows[places[best]][column] += page.WITHIN
    return heads, rows, bold


def settings_of(comparison: Comparison) -> tuple[list[str], list[list[str]]]:
    """Return the heads and the rows of the table of settings that differ."""
    heads = ["setting", *(group.label for group in comparison.groups)]
    rows = [
        [name, *("–" if value is None else str(value) for value in values)]
        for name, values in comparison.differing.items()
    ]
    return heads, rows


def records_of(comparison: Comparison) -> list[dict[str, object]]:
    """Return a record for each run, for JSON and CSV."""
    return [
        {
            "run": run.name,
            "group": group.label,
            "state": run.state,
            "step": run.step,
            "seconds": run.status.seconds,
            "seed": run.seed,
            "effective_rank": run.effective_rank,
            **{name: values[number] for name, values in comparison.differing.items()},
            **{
                f"{column}.{name}": value
                for column, metrics in run.table.items()
                for name, value in metrics.items()
            },
        }
        for number, group in enumerate(comparison.groups)
        for run in group.runs
    ]


def _bars(comparison: Comparison) -> bytes:
    height = 70 + 26 * len(comparison.groups)
    figure, axes = charts(len(comparison.metrics), columns=2, width=500, height=height, left=190)
    for metric, axis in zip(comparison.metrics, axes, strict=True):
        for place, group in enumerate(comparison.groups):
            if metric not in group.scores:
                continue
            score = group.scores[metric]
            axis.barh(
                place,
                score.mean,
                0.7,
                xerr=score.within,
                color=COLOURS[place % len(COLOURS)],
                ecolor="black",
                capsize=3,
            )
            axis.annotate(
                rounded(score.mean, score.within),
                (score.mean + (score.within or 0), place),
                xytext=(3, 0),
                textcoords="offset points",
                va="center",
            )
        names = [_cut(group.label) for group in comparison.groups]
        axis.set_yticks(range(len(names)), names)
        axis.invert_yaxis()
        axis.margins(x=0.18)
        axis.set_title(metric + (" (lower is better)" if sign_of(metric) < 0 else ""), loc="left")
    return to_png(figure)


def _cut(name: str) -> str:
    return name if len(name) <= 26 else f"{name[:25]}…"
