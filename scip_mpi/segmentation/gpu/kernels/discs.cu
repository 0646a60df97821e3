// Extremes within discs, the plane mirrored at its edges: segmentation/morphology.py.

__device__ inline int mirror(int i, int n) {
    i = i % (2 * n);
    if (i < 0) i += 2 * n;
    return i < n ? i : 2 * n - 1 - i;
}

// Smallest pixel within a disc, or the largest.
template <typename V, typename F>
__device__ V disc_extreme(
    const V* plane, int height, int width, int y, int x, const i64* halves, int radius, F extreme
) {
    V found = plane[y * width + x];
    for (int k = -radius; k <= radius; k++) {
        const V* line = plane + mirror(y + k, height) * width;
        const int half = (int)halves[k + radius];
        for (int q = x - half; q <= x + half; q++) {
            found = extreme(found, line[q >= 0 && q < width ? q : mirror(q, width)]);
        }
    }
    return found;
}

// `disc_extreme` of every pixel of a plane into `out`.
template <typename V, typename F>
__device__ void disc_filter(
    const V* plane, int height, int width, const i64* halves, int radius, F extreme, V* out
) {
    for (int p = threadIdx.x; p < height * width; p += blockDim.x) {
        const int y = p / width, x = p - y * width;
        out[p] = disc_extreme(plane, height, width, y, x, halves, radius, extreme);
    }
    __syncthreads();
}
