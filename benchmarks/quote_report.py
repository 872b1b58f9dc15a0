"""Puts a report's figures where the docs quote them: docs/report_paintings.json, and the table between its marks.

Run     python run_all.py --config paintings.yaml && python benchmarks/quote_report.py OUTPUTS/report.json
        where paintings.yaml names the collection, has OUTPUTS as paths.outputs, and says
        maps: {content: {content: 1}, style: {style: 1}, color: {color: 1}, combined: {content: 1, style: 1}}
Cost    nothing
"""

import argparse
import json
import shutil
from pathlib import Path

REPO = Path(__file__).resolve().parent.parent
OPENING, CLOSING = "<!-- report -->\n", "<!-- /report -->"


def table(figures):
    """Markdown of a report.json: one row a map."""
    k = figures["maps"]["content"]["n_neighbors"]
    limit = figures["maps"]["content"]["near_limit"]
    lines = [f"| map | of 100 works shown among the {k} nearest of another, those among the {limit} most like it"
             f" | those among the {k} most like it | trustworthiness | continuity | those that stay when drawn again"
             " | same artist, by 5 neighbours (shuffled) |", "|---|---|---|---|---|---|---|"]  # fmt: skip
    for name, each in figures["maps"].items():
        stay = f"{100 * each['redrawn']['neighbours_kept']:.0f}" if each["redrawn"] else "not tried"
        artist = each["labels"]["artist"]["map"]["knn_accuracy"]
        lines.append(
            f"| {name} | {100 * each['near']:.0f} | {100 * each['kept'][str(k)]:.0f} |"
            f" {each['trustworthiness'][str(k)]:.3f} | {each['continuity'][str(k)]:.3f} |"
            f" {stay} | {artist['value']:.2f} ({artist['shuffled']:.2f}) |"
        )
    chance = figures["maps"]["content"]["kept_by_chance"][str(k)]
    lines.append(f"\nChance would give {100 * limit / (figures['works'] - 1):.0f} in the first column and"
                 f" {100 * chance:.1f} in the second.")  # fmt: skip
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("report", type=Path, help="report.json of the paintings")
    source = parser.parse_args().report
    shutil.copyfile(source, REPO / "docs" / "report_paintings.json")
    page = REPO / "docs" / "REPORT.md"
    before, _, rest = page.read_text(encoding="utf-8").partition(OPENING)
    _, _, after = rest.partition(CLOSING)
    quoted = table(json.loads(source.read_text(encoding="utf-8")))
    page.write_text(before + OPENING + quoted + CLOSING + after, encoding="utf-8")


if __name__ == "__main__":
    main()
