"""Accept bits of a trigger: where a score is at least a threshold, which a config or a file of rates gives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ntupleml.config.loading import read_yaml
from ntupleml.errors import NtuplemlError, did_you_mean
from ntupleml.scoring import NO_ANSWER

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from ntupleml.config import AcceptConfig

#: Behind the prefix, the name of the branch.
ACCEPT = "accept"
#: Type of the bits, and that of rows that are not scored.
ACCEPT_TYPE, NOT_ACCEPTED = "u1", 0
#: Key of a file of thresholds.
_THRESHOLDS = "thresholds"


class Accept(NamedTuple):
    """What a trigger accepts."""

    #: Index of the score that is compared.
    output: int
    #: Scores from here on are accepted; None where no threshold reaches the rate, so that nothing is.
    threshold: float | None

    def bits(self, scores: NDArray[np.float32]) -> NDArray[np.uint8]:
        """1 for rows that are accepted, 0 for others, and for those without an answer.

        Parameters
        ----------
        scores : array of float32, shape (n_rows, n_scores)

        Examples
        --------
        >>> Accept(0, 0.5).bits(np.array([[0.5], [0.25], [np.nan]], np.float32))
        array([1, 0, 0], dtype=uint8)
        """
        if self.threshold is None:
            return np.zeros(len(scores), np.uint8)
        # as doubles: the threshold must not be rounded to a score that is smaller
        score = scores[:, self.output].astype(np.float64)
        is_accepted: NDArray[np.bool_] = (score >= self.threshold) & (score != NO_ANSWER)
        return is_accepted.astype(np.uint8)


def accept_of(config: AcceptConfig | None, outputs: Sequence[str], where: str, *, first: bool = False) -> Accept | None:
    """What an application config accepts; None where it asks for no bits.

    Parameters
    ----------
    outputs : sequence of str
        Names of the scores.
    where : str
        The key, for messages.
    first : bool, default: False
        Whether the first score is meant where none is named.

    Raises
    ------
    NtuplemlError
        If there is no such score, none is named among several, or the file has no such threshold.
    """
    if config is None:
        return None
    if config.output is None and len(outputs) > 1 and not first:
        raise NtuplemlError(
            f"{where}: output: is missing; name the score that is compared with the threshold, one of "
            f"{', '.join(outputs)}"
        )
    output = outputs[0] if config.output is None else config.output
    if output not in outputs:
        raise NtuplemlError(f"{where}: output: no score '{output}'{did_you_mean(output, outputs)}")
    if config.file is None:
        return Accept(outputs.index(output), config.threshold)
    return Accept(outputs.index(output), _threshold_of(config.file, str(config.scheme), where))


def _threshold_of(path: str, scheme: str, where: str) -> float | None:
    """A threshold of a file."""
    content = read_yaml(path)
    thresholds: Any = content.get(_THRESHOLDS) if isinstance(content, dict) else None
    if not isinstance(thresholds, dict):
        raise NtuplemlError(
            f"{where}: file: {path} has no block '{_THRESHOLDS}'; give the file that the step trigger-rates writes"
        )
    if scheme not in thresholds:
        raise NtuplemlError(
            f"{where}: scheme: {path} has no threshold '{scheme}'{did_you_mean(scheme, map(str, thresholds))}"
        )
    value = thresholds[scheme]
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and np.isfinite(value)
    if value is not None and not is_number:
        raise NtuplemlError(f"{path}: {_THRESHOLDS}.{scheme}: found '{value}', but a number or null is needed")
    return None if value is None else float(value)
