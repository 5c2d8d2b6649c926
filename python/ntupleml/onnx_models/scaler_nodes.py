"""Scikit-learn's scalers as ONNX operators, in float64 as scikit-learn computes them, and what ONNX lacks for that.

In float32 the subtraction of a mean that is large against the spread would lose the digits that matter. ONNX has no
sorted search, and neither error function nor normal quantiles in double precision: the search is a binary one, written
out step by step over a table, the quantile function is Wichura's algorithm.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ntupleml.errors import NtuplemlError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ntupleml.onnx_models.graph import GraphBuilder


#: Scikit-learn's `BOUNDS_THRESHOLD`: values this near to a variable's smallest or largest quantile count as outside.
BOUNDS_THRESHOLD = 1e-7

# S. L. Moshier, Cephes Math Library 2.1 (1989), ndtr.c: erf below and erfc above 1; lowest power first.
_ERF_NUMERATOR = (
    5.55923013010394962768e4, 7.00332514112805075473e3, 2.23200534594684319226e3, 9.00260197203842689217e1,
    9.60497373987051638749e0,
)  # fmt: skip
_ERF_DENOMINATOR = (
    4.92673942608635921086e4, 2.26290000613890934246e4, 4.59432382970980127987e3, 5.21357949780152679795e2,
    3.35617141647503099647e1, 1.0,
)  # fmt: skip
_ERFC_NUMERATOR = (
    5.57535335369399327526e2, 1.02755188689515710272e3, 9.34528527171957607540e2, 5.26445194995477358631e2,
    1.96520832956077098242e2, 4.86371970985681366614e1, 7.46321056442269912687e0, 5.64189564831068821977e-1,
    2.46196981473530512524e-10,
)  # fmt: skip
_ERFC_DENOMINATOR = (
    5.57535340817727675546e2, 1.65666309194161350182e3, 2.24633760818710981792e3, 1.82390916687909736289e3,
    9.75708501743205489753e2, 3.54937778887819891062e2, 8.67072140885989742329e1, 1.32281951154744992508e1,
    1.0,
)  # fmt: skip
#: Beyond it the error function is ±1 to double precision.
_ERF_END = 6.0

# M. J. Wichura, "Algorithm AS 241: The Percentage Points of the Normal Distribution", Appl. Stat. 37 (1988) 477,
# routine PPND16, relative accuracy 1e-16; lowest power first. Its third region, p below e^-25, is left out.
_CENTRE_NUMERATOR = (
    3.3871328727963666080e0, 1.3314166789178437745e2, 1.9715909503065514427e3, 1.3731693765509461125e4,
    4.5921953931549871457e4, 6.7265770927008700853e4, 3.3430575583588128105e4, 2.5090809287301226727e3,
)  # fmt: skip
_CENTRE_DENOMINATOR = (
    1.0, 4.2313330701600911252e1, 6.8718700749205790830e2, 5.3941960214247511077e3,
    2.1213794301586595867e4, 3.9307895800092710610e4, 2.8729085735721942674e4, 5.2264952788528545610e3,
)  # fmt: skip
_TAIL_NUMERATOR = (
    1.42343711074968357734e0, 4.63033784615654529590e0, 5.76949722146069140550e0, 3.64784832476320460504e0,
    1.27045825245236838258e0, 2.41780725177450611770e-1, 2.27238449892691845833e-2, 7.74545014278341407640e-4,
)  # fmt: skip
_TAIL_DENOMINATOR = (
    1.0, 2.05319162663775882187e0, 1.67638483018380384940e0, 6.89767334985100004550e-1,
    1.48103976427480074590e-1, 1.51986665636164571966e-2, 5.47593808499534494600e-4, 1.05075007164441684324e-9,
)  # fmt: skip


def error_function_nodes(graph: GraphBuilder, value: str) -> str:
    """Append erf of float64 numbers; relative accuracy 1e-15."""
    one = graph.constant(1.0)
    size = graph.add("Min", graph.add("Abs", value), graph.constant(_ERF_END))
    inner = graph.add("Min", size, one)
    square = graph.add("Mul", inner, inner)
    centre = graph.add("Mul", inner, ratio_nodes(graph, square, _ERF_NUMERATOR, _ERF_DENOMINATOR))
    outer = graph.add("Max", size, one)
    gauss = graph.add("Exp", graph.add("Neg", graph.add("Mul", outer, outer)))
    tail = graph.add("Sub", one, graph.add("Mul", gauss, ratio_nodes(graph, outer, _ERFC_NUMERATOR, _ERFC_DENOMINATOR)))
    result = graph.add("Where", graph.add("Less", size, one), centre, tail)
    return graph.add("Mul", graph.add("Sign", value), result)


def normal_quantile_nodes(graph: GraphBuilder, fraction: str) -> str:
    """Append the quantile function of the normal distribution, for float64 from 1e-11 to 1 − 1e-11."""
    one = graph.constant(1.0)
    centred = graph.add("Sub", fraction, graph.constant(0.5))
    square = graph.add("Sub", graph.constant(0.425**2), graph.add("Mul", centred, centred))
    centre = graph.add("Mul", centred, ratio_nodes(graph, square, _CENTRE_NUMERATOR, _CENTRE_DENOMINATOR))

    tail_fraction = graph.add("Min", fraction, graph.add("Sub", one, fraction))
    root = graph.add("Sqrt", graph.add("Neg", graph.add("Log", tail_fraction)))
    distance = graph.add("Sub", root, graph.constant(1.6))
    tail = ratio_nodes(graph, distance, _TAIL_NUMERATOR, _TAIL_DENOMINATOR)
    signed_tail = graph.add("Mul", tail, graph.add("Sign", centred))
    in_centre = graph.add("LessOrEqual", graph.add("Abs", centred), graph.constant(0.425))
    return graph.add("Where", in_centre, centre, signed_tail)


def ratio_nodes(graph: GraphBuilder, value: str, numerator: tuple[float, ...], denominator: tuple[float, ...]) -> str:
    """Append a ratio of polynomials, of coefficients with the lowest power first."""
    return graph.add("Div", _polynomial(graph, value, numerator), _polynomial(graph, value, denominator))


def _polynomial(graph: GraphBuilder, value: str, coefficients: tuple[float, ...]) -> str:
    """Horner's scheme; lowest power first."""
    *lower, highest = coefficients
    result = graph.constant(highest)
    for coefficient in reversed(lower):
        result = graph.add("Add", graph.add("Mul", result, value), graph.constant(coefficient))
    return result


def quantile_nodes(graph: GraphBuilder, values: str, scaler: Any) -> str:
    """Append a fitted `sklearn.preprocessing.QuantileTransformer`, in float64."""
    quantiles = np.asarray(scaler.quantiles_, dtype=np.float64)
    lower, upper = graph.constant(quantiles[0]), graph.constant(quantiles[-1])
    inside = graph.add("Min", graph.add("Max", values, lower), upper)
    fraction = _interpolation(graph, inside, quantiles, np.asarray(scaler.references_, dtype=np.float64))
    zero, one = graph.constant(0.0), graph.constant(1.0)
    if scaler.output_distribution == "uniform":
        fraction = graph.add("Where", graph.add("GreaterOrEqual", values, upper), one, fraction)
        return graph.add("Where", graph.add("LessOrEqual", values, lower), zero, fraction)
    near = graph.constant(BOUNDS_THRESHOLD)
    above = graph.add("Greater", graph.add("Add", values, near), upper)
    below = graph.add("Less", graph.add("Sub", values, near), lower)
    fraction = graph.add("Where", above, one, fraction)
    fraction = graph.add("Where", below, zero, fraction)
    # cut off as scikit-learn does: the quantiles go from about −5.2 to 5.2
    smallest = BOUNDS_THRESHOLD - np.spacing(1)
    fraction = graph.add("Clip", fraction, graph.constant(smallest), graph.constant(1 - smallest))
    return normal_quantile_nodes(graph, fraction)


def _interpolation(
    graph: GraphBuilder, values: str, quantiles: NDArray[np.float64], references: NDArray[np.float64]
) -> str:
    """Fraction of events below each value: linear between quantiles, the middle of a step where quantiles repeat.

    Scikit-learn interpolates from below and from above and takes the mean, which differs from one interpolation
    only exactly at a repeated quantile; there a third table holds the mean.
    """
    num_quantiles, num_variables = quantiles.shape
    size = 1 << max(1, (num_quantiles - 1).bit_length())
    table = np.full((num_variables, size), np.inf)
    table[:, :num_quantiles] = quantiles.T
    slope, at_quantile = np.zeros((2, num_variables, size))
    reference = np.zeros(size)
    reference[:num_quantiles] = references
    for column in range(num_variables):
        steps = np.diff(quantiles[:, column])
        rises = np.flatnonzero(steps > 0)
        slope[column, rises] = np.diff(references)[rises] / steps[rises]
        first = np.searchsorted(quantiles[:, column], quantiles[:, column], side="left")
        last = np.searchsorted(quantiles[:, column], quantiles[:, column], side="right") - 1
        at_quantile[column, :num_quantiles] = 0.5 * (references[first] + references[last])

    quantile_table = graph.constant(table.ravel())
    position = _last_not_above(graph, values, quantile_table, num_variables, size)
    lower_end = graph.add("Gather", quantile_table, position)
    start = graph.add("Gather", graph.constant(np.tile(reference, num_variables)), position)
    gradient = graph.add("Gather", graph.constant(slope.ravel()), position)
    between = graph.add("Add", graph.add("Mul", gradient, graph.add("Sub", values, lower_end)), start)
    exact = graph.add("Gather", graph.constant(at_quantile.ravel()), position)
    return graph.add("Where", graph.add("Equal", values, lower_end), exact, between)


def _last_not_above(graph: GraphBuilder, values: str, table: str, num_variables: int, size: int) -> str:
    """Binary search: index into the table of the last quantile not above each value. `size` is a power of two."""
    position = graph.constant(np.arange(num_variables)[None, :] * size, np.int32)
    step = size // 2
    while step:
        candidate = graph.add("Add", position, graph.constant(step, np.int32))
        not_above = graph.add("LessOrEqual", graph.add("Gather", table, candidate), values)
        position = graph.add("Where", not_above, candidate, position)
        step //= 2
    return position


def scaler_nodes(graph: GraphBuilder, variables: str, scaler: Any) -> str:
    """Append a fitted scaler of scikit-learn, from float32 to float32; the input itself where it changes nothing.

    `StandardScaler`, `RobustScaler`, `MinMaxScaler`, `QuantileTransformer` and what `ntupleml.preprocessing.steps`
    fits have a form.
    """
    kind = type(scaler).__name__
    if kind == "StandardScaler":
        offset = scaler.mean_ if scaler.with_mean else None
        return _shift_and_divide(graph, variables, offset, scaler.scale_ if scaler.with_std else None)
    if kind == "RobustScaler":
        offset = scaler.center_ if scaler.with_centering else None
        return _shift_and_divide(graph, variables, offset, scaler.scale_ if scaler.with_scaling else None)
    if kind == "MinMaxScaler":
        return _min_max(graph, variables, scaler)
    if kind == "PCA":
        return _components(graph, variables, scaler)
    if kind == "PowerTransformer":
        return _power(graph, variables, scaler)
    if kind == "QuantileTransformer":
        return graph.cast(quantile_nodes(graph, graph.cast(variables, np.float64), scaler), np.float32)
    raise NtuplemlError(
        f"preprocessing by a {kind} cannot be written to ONNX; StandardScaler, RobustScaler, MinMaxScaler, "
        "QuantileTransformer, PowerTransformer and PCA can"
    )


def _shift_and_divide(graph: GraphBuilder, variables: str, offset: Any, scale: Any) -> str:
    shifts = offset is not None and np.any(offset != 0)
    divides = scale is not None and np.any(scale != 1)
    if not (shifts or divides):
        return variables
    value = graph.cast(variables, np.float64)
    if shifts:
        value = graph.add("Sub", value, graph.constant(offset))
    if divides:
        value = graph.add("Div", value, graph.constant(scale))
    return graph.cast(value, np.float32)


def _min_max(graph: GraphBuilder, variables: str, scaler: Any) -> str:
    value = graph.add("Mul", graph.cast(variables, np.float64), graph.constant(scaler.scale_))
    value = graph.add("Add", value, graph.constant(scaler.min_))
    if scaler.clip:
        lower, upper = scaler.feature_range
        value = graph.add("Clip", value, graph.constant(lower), graph.constant(upper))
    return graph.cast(value, np.float32)


def _components(graph: GraphBuilder, variables: str, scaler: Any) -> str:
    centred = graph.add("Sub", graph.cast(variables, np.float64), graph.constant(scaler.mean_))
    value = graph.add("MatMul", centred, graph.constant(scaler.components_.T))
    if scaler.whiten:
        value = graph.add("Div", value, graph.constant(np.sqrt(scaler.explained_variance_)))
    return graph.cast(value, np.float32)


def _power(graph: GraphBuilder, variables: str, scaler: Any) -> str:
    """Each column by its own exponent: (x^λ − 1) / λ or ln x, of Yeo and Johnson with x + 1 and the mirrored branch."""
    value = graph.cast(variables, np.float64)
    columns = graph.split(value, [1] * len(scaler.lambdas_))
    if scaler.method == "box-cox":
        made = [
            _box_cox(graph, graph.add("Max", column, graph.constant([[least]])), power)
            for column, power, least in zip(columns, scaler.lambdas_, scaler.least_, strict=True)
        ]
    else:
        made = [_yeo_johnson(graph, column, power) for column, power in zip(columns, scaler.lambdas_, strict=True)]
    value = graph.add("Concat", *made, axis=1)
    value = graph.add("Sub", value, graph.constant(scaler._scaler.mean_))
    return graph.cast(graph.add("Div", value, graph.constant(scaler._scaler.scale_)), np.float32)


def _box_cox(graph: GraphBuilder, positive: str, power: float) -> str:
    if power == 0:
        return graph.add("Log", positive)
    raised = graph.add("Pow", positive, graph.constant(power))
    return graph.add("Div", graph.add("Sub", raised, graph.constant(1.0)), graph.constant(power))


def _yeo_johnson(graph: GraphBuilder, value: str, power: float) -> str:
    zero, one = graph.constant(0.0), graph.constant(1.0)
    above = _box_cox(graph, graph.add("Add", graph.add("Max", value, zero), one), power)
    mirrored = graph.add("Sub", one, graph.add("Min", value, zero))
    below = graph.add("Neg", _box_cox(graph, mirrored, 2.0 - power))
    return graph.add("Where", graph.add("GreaterOrEqual", value, zero), above, below)
