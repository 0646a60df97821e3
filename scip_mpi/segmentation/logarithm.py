"""A logarithm that is the same on every processor and device, for thresholds that hang on it."""

from __future__ import annotations

import math

from numba import njit

# The logarithm of 2: a part of 32 bits, whose products with exponents are exact, and the rest.
LN2_HIGH = 6.93147180369123816490e-01
LN2_LOW = 1.90821492927058770002e-10
HALF_ROOT = 0.70710678118654752
# Multiplying by it and subtracting leaves the upper half of a number's bits (Dekker).
SPLIT = 134217729.0


@njit(cache=True, nogil=True, error_model="numpy")
def log(x):
    """Natural logarithm of a positive, finite number, to 0.55 units in the last place.

    C libraries differ in the last bit of theirs, from one processor to the next and on GPUs; this
    one is made of additions, multiplications and divisions only. With x = m * 2^e and
    s = (m - 1) / (m + 1), log(x) = e * log(2) + 2 * (s + s^3 / 3 + s^5 / 5 + ...), where s and the
    leading sum are carried in two parts.

    Parameters
    ----------
    x : float

    Returns
    -------
    float

    References
    ----------
    Dekker, "A floating-point technique for extending the available precision", Numerische
    Mathematik 18, 1971, for the sums and products in two parts.
    """
    m, exponent = math.frexp(x)
    if m < HALF_ROOT:
        m *= 2.0
        exponent -= 1
    f = m - 1.0
    d = m + 1.0
    rest = m - (d - 1.0)
    s = f / d
    ss = SPLIT * s
    s1 = ss - (ss - s)
    s2 = s - s1
    dd = SPLIT * d
    d1 = dd - (dd - d)
    d2 = d - d1
    p = s * d
    error = ((s1 * d1 - p) + s1 * d2 + s2 * d1) + s2 * d2
    more = (((f - p) - error) - s * rest) / d
    z = s * s
    series = 1.0 / 23.0
    for k in range(21, 2, -2):
        series = series * z + 1.0 / k
    tail = more + s * (z * series)
    e = float(exponent)
    high = e * LN2_HIGH
    twice = 2.0 * s
    total = high + twice
    other = total - high
    low = (high - (total - other)) + (twice - other)
    return total + (low + (e * LN2_LOW + 2.0 * tail))
