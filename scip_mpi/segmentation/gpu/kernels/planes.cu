// What several methods do with a plane, at its start and at its end.

#define SMALLEST_OBJECT 20

// Pixels as double precision, times numbers[0] and numbers[1] at least: planes.scaling.
__device__ void scale_pixels(const PIXEL* pixels, i64 n, const double* numbers, double* out) {
    for (i64 p = threadIdx.x; p < n; p += blockDim.x) {
        out[p] = Larger()((double)pixels[p] * numbers[0], numbers[1]);
    }
    __syncthreads();
}

struct Range {
    double low, high;
    bool finite;
};

// Smallest and largest of `n` values; whether all are finite.
__device__ Range range_of(const double* values, i64 n) {
    double low = LARGEST, high = -LARGEST;
    int strange = 0;
    for (i64 p = threadIdx.x; p < n; p += blockDim.x) {
        low = Smaller()(low, values[p]);
        high = Larger()(high, values[p]);
        strange |= !is_finite(values[p]);
    }
    Range range;
    range.low = reduce(low, Smaller());
    range.high = reduce(high, Larger());
    range.finite = !reduce(strange, Larger());
    return range;
}

// Whether a pixel of a plane is not finite.
__device__ bool any_strange(const PIXEL* pixels, i64 n) {
    int strange = 0;
    for (i64 p = threadIdx.x; p < n; p += blockDim.x) {
        strange |= FLOATING && !is_finite((double)pixels[p]);
    }
    return reduce(strange, Larger());
}

// The mask of what is above a threshold.
template <typename V>
__device__ void above(const V* values, i64 n, V threshold, u8* mask) {
    for (i64 p = threadIdx.x; p < n; p += blockDim.x) mask[p] = values[p] > threshold;
    __syncthreads();
}

// Fill holes below a quarter of the plane, then remove objects of few pixels. Scratch: 2 planes of
// 32 bits.
__device__ void tidy(u8* mask, int height, int width, int* parent) {
    flip_small(mask, height, width, 0, (i64)height * width, parent);
    flip_small(mask, height, width, 1, 4 * SMALLEST_OBJECT, parent);
}
