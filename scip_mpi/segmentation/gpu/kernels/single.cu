// Single precision without the device's own: CuPy compiles with -ftz=true, which takes numbers below
// 2^-126 for 0 wherever a float is read, compared or computed. No kernel has a float therefore.

// A pixel, read as it is. It turns into double precision, which loses nothing.
struct SinglePixel {
    unsigned int bits;

    __device__ operator double() const {
        union { u64 bits; double value; } both;
        const u64 sign = (u64)(bits >> 31) << 63, rest = bits & 0x7fffffff;
        if (rest >> 23 == 0) {
            both.value = (double)rest * 1.40129846432481707e-45;
        } else {
            const u64 exponent = rest >> 23 == 255 ? 2047 : (rest >> 23) + 896;
            both.bits = exponent << 52 | (rest & 0x7fffff) << 29;
        }
        both.bits |= sign;
        return both.value;
    }
};

// The nearest number of single precision, of two the even one.
__device__ inline double to_single(double value) {
    union { double value; u64 bits; } both;
    both.value = value;
    const double size = fabs(value);
    if (size == 0.0 || !is_finite(value)) return value;
    if (size < 1.17549435082228751e-38) {
        // Numbers are 2^-149 apart, as those of double precision are from this one on.
        const double from = 9.46633086265214192e-30;
        return (value + from) - from;
    }
    both.bits += 0xfffffff + ((both.bits >> 29) & 1);
    both.bits &= ~0x1fffffffull;
    if (fabs(both.value) <= 3.40282346638528860e38) return both.value;
    return value * LARGEST;
}

// A number of single precision, held in double. One operation in double precision, rounded to single,
// is the operation in single precision: the longer result has more than twice the bits.
struct Single {
    double value;

    __device__ Single() {}
    __device__ explicit Single(double number) : value(to_single(number)) {}
    __device__ operator double() const { return value; }
    __device__ Single operator+(Single other) const { return Single(value + other.value); }
    __device__ Single operator-(Single other) const { return Single(value - other.value); }
    __device__ Single operator*(Single other) const { return Single(value * other.value); }
    __device__ Single operator/(Single other) const { return Single(value / other.value); }
};

// Product of two numbers of pixels as scikit-image's Otsu takes it, in single precision.
__device__ inline double product_of_sizes(i64 one, i64 other) {
    return Single((double)one) * Single((double)other);
}
