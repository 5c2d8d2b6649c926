#!/usr/bin/env python3
"""Train the TMVA methods of a config for a fold, or for all folds: by TMVA, or without it by XGBoost."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

try:
    from ntupleml.command_line import run
except ModuleNotFoundError:
    sys.stderr.write(f"{sys.argv[0]}: ntupleml is not installed in this environment; source setup.sh first\n")
    sys.exit(2)


def main(arguments: argparse.Namespace) -> int:
    """Train, compare, and write everything to `fold{f}_training` in the config's output_path."""
    from ntupleml.config import TrainingConfig, load_config
    from ntupleml.folds import chosen_models
    from ntupleml.training.tmva_training import train_tmva
    from ntupleml.xgboost_import import import_xgboost_alone

    import_xgboost_alone()
    config = load_config(arguments.config, TrainingConfig)
    where = str(arguments.config)
    records = train_tmva(
        config,
        chosen_models(arguments.fold, config.num_folds, where),
        engine=arguments.engine,
        method=arguments.method,
        overwrite=arguments.overwrite,
        where=where,
    )
    if len({record.method for record in records}) > 1:
        from ntupleml.testing.tmva_comparison import compare_trained_methods

        compare_trained_methods(config, records, where)
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", type=Path, metavar="CONFIG", help="training config (YAML)")
    parser.add_argument("fold", metavar="FOLD", help="model to train (0, 1, ...), or 'all'")
    parser.add_argument(
        "--engine", choices=("tmva", "xgboost"), help="what trains; by default TMVA where ROOT has it, else XGBoost"
    )
    parser.add_argument("--method", metavar="NAME", help="train this method only")
    parser.add_argument("--overwrite", action="store_true", help="replace the files of an earlier training")
    sys.exit(run(main, parser))
