"""The command `python -m neuroprivacy.experiments.precision`: measure what is missing, then write the page."""

from __future__ import annotations

import argparse
from pathlib import Path

from neuroprivacy.core.errors import NeuroPrivacyError
from neuroprivacy.core.storage import read_json, write_text
from neuroprivacy.experiments.precision import catalogue
from neuroprivacy.experiments.precision.page import page
from neuroprivacy.experiments.precision.runner import measure
from neuroprivacy.experiments.recurrent import Rows


def main() -> None:
    """Run the experiment and write its page."""
    parser = argparse.ArgumentParser(description="Write docs/results/precision.md.")
    parser.add_argument("--runs", type=Path, default=Path("runs/precision"))
    parser.add_argument("--out", type=Path, default=Path("docs/results/precision.md"))
    parser.add_argument("--data-root", type=Path)
    parser.add_argument("--networks", nargs="+", choices=list(catalogue.NETWORKS), default=list(catalogue.NETWORKS))
    parser.add_argument("--resets", nargs="+", choices=list(catalogue.TARGETS), default=list(catalogue.TARGETS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--as-it-stands", action="store_true", help="only make the page, of what is there")
    parser.add_argument("--ways", nargs="+", choices=list(catalogue.WAYS), default=list(catalogue.WAYS))
    options = parser.parse_args()
    found = []
    try:
        for name in options.networks:
            for reset in options.resets:
                for seed in options.seeds:
                    if isinstance(catalogue.NETWORKS[name], Rows) and reset == "soft":
                        continue  # its neurons reset to zero
                    folder = options.runs / f"{name}-{reset}-{seed}"
                    if options.as_it_stands:
                        kept = folder / "precision.json"
                        done = read_json(kept) if kept.exists() else {}
                        found += [done] if done.get("ways") else []
                        continue
                    found.append(
                        measure(
                            name, reset=reset, seed=seed, folder=folder, data_root=options.data_root, ways=options.ways
                        )
                    )
    except NeuroPrivacyError as error:
        parser.exit(error.exit_code, f"error: {error}\n")
    command = (
        f"python -m neuroprivacy.experiments.precision --networks {' '.join(options.networks)} "
        f"--resets {' '.join(options.resets)} --seeds {' '.join(map(str, options.seeds))}"
    )
    write_text(options.out, page(found, command=command))


if __name__ == "__main__":
    main()
