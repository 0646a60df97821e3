"""As many images per rank on more and more ranks: the time should stay."""

from __future__ import annotations

import click
import harness
import scaling
from harness import Settings


@click.command()
@scaling.ranks_option("1,2")
@click.option("-n", "--number", default=2500, show_default=True, help="Images per rank.")
@click.option("--repeats", default=5, show_default=True)
@click.option("--config", default="li", show_default=True, help="li, paper or a file.")
@harness.launcher_option
@harness.options
def main(
    settings: Settings, ranks: str, number: int, repeats: int, config: str, launcher: str
) -> None:
    """As many images per rank on more and more ranks."""
    if settings.quick:
        number, repeats = 10, 1
    harness.print_facts()
    path = harness.config(settings, config)
    images_of = {n: n * number for n in sorted({int(n) for n in ranks.split(",")})}
    rows = scaling.run_all(settings, path, images_of, repeats, launcher)
    scaling.report(settings, "weak_scaling", [{"config": path.stem, **r} for r in rows], True)


if __name__ == "__main__":
    main()
