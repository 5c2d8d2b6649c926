#!/usr/bin/env python3
"""Join two tables as a script would: uproot and h5py read all, `pandas.merge` joins, uproot writes the columns."""

from __future__ import annotations

import sys

import h5py
import pandas as pd
import uproot

KEYS = ["run", "event"]


def main(left: str, right: str, output: str) -> None:
    """Refuses rows without a partner, and keys that are repeated."""
    with uproot.open(left) as file:
        rows = pd.DataFrame(file["events"].arrays(KEYS, library="np"))
    with h5py.File(right) as file:
        partners = pd.DataFrame({name: column[:] for name, column in file["events"].items()})
    joined = rows.merge(partners, how="left", on=KEYS, validate="many_to_one", indicator=True)
    if (joined["_merge"] != "both").any():
        sys.exit("rows without a partner")
    columns = {name: joined[name].to_numpy() for name in partners.columns}
    with uproot.recreate(output, compression=uproot.ZSTD(1)) as file:
        tree = file.mktree("events", {name: column.dtype for name, column in columns.items()})
        for start in range(0, len(joined), 100_000):
            tree.extend({name: column[start : start + 100_000] for name, column in columns.items()})


if __name__ == "__main__":
    main(*sys.argv[1:])
