"""Histograms as ROOT files of TH1D, with the squares of the weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ntupleml.atomic import replace_file

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from typing import Any

    from ntupleml.metrics.histograms import Histogram


def write_histograms(
    path: str | Path, histograms: Mapping[str, Histogram], titles: Mapping[str, str], *, overwrite: bool = False
) -> None:
    """Write histograms as TH1D, complete or not at all.

    Parameters
    ----------
    histograms : mapping of str to Histogram
        By the path in the file, ``folder/name``.
    titles : mapping of str to str
        Of the axis, by the same paths.

    Raises
    ------
    NtuplemlError
        If the file exists and must not be overwritten, or cannot be written.
    """
    import uproot

    with replace_file(path, overwrite=overwrite) as temporary, uproot.recreate(temporary) as file:
        for name, one in histograms.items():
            file[name] = _th1d(name, one, titles[name])


def _th1d(name: str, one: Histogram, title: str) -> Any:
    """ROOT's histogram; the sums of x that its mean is of are those of the centres of bins."""
    from uproot.writing.identify import to_TAxis, to_TH1x

    sums, squares = (
        np.concatenate([[below], inside, [above]])
        for below, inside, above in (
            (one.underflow[0], one.sums, one.overflow[0]),
            (one.underflow[1], one.squares, one.overflow[1]),
        )
    )
    centres = (one.edges[1:] + one.edges[:-1]) / 2
    steps = np.diff(one.edges)
    equal = np.allclose(steps, steps[0], rtol=1e-9, atol=0)
    total = float(one.squares.sum())
    return to_TH1x(
        fName=name.rpartition("/")[2],
        fTitle="",
        data=sums,
        # ROOT has counts of fills, of which nothing is known here: the effective number of entries
        fEntries=float(one.sums.sum() ** 2 / total) if total else 0.0,
        fTsumw=float(one.sums.sum()),
        fTsumw2=total,
        fTsumwx=float((one.sums * centres).sum()),
        fTsumwx2=float((one.sums * centres**2).sum()),
        fSumw2=squares,
        fXaxis=to_TAxis(
            fName="xaxis",
            fTitle=title,
            fNbins=len(one.sums),
            fXmin=float(one.edges[0]),
            fXmax=float(one.edges[-1]),
            fXbins=None if equal else one.edges,
        ),
    )
