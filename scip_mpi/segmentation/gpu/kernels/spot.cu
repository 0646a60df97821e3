// The largest values of the top-hat transform: segmentation/spot.py.

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

// starts: half widths of the disc's rows; numbers[0]: its radius. Scratch of a block: 2 planes of 64
// bits.
extern "C" __global__ void __launch_bounds__(MOST_THREADS) spot(
    const PIXEL* pixels, const Plane* planes, i64 count, const double* numbers, const i64* starts,
    const double* weights, u8* masks, u8* left, char* scratch, i64 scratch_bytes, i64 largest
) {
    const int radius = (int)numbers[0];
    VALUE* tophat = (VALUE*)(scratch + blockIdx.x * scratch_bytes);
    PIXEL* eroded = (PIXEL*)((i64*)tophat + largest);
    for (i64 i = blockIdx.x; i < count; i += gridDim.x) {
        const Plane plane = planes[i];
        const int height = (int)plane.height, width = (int)plane.width;
        const i64 n = plane.height * plane.width;
        const PIXEL* own = pixels + plane.at;
        u8* mask = masks + plane.at;
        int strange = 0;
        for (i64 p = threadIdx.x; p < n; p += blockDim.x) {
            strange |= FLOATING && !is_finite((double)own[p]);
        }
        strange = reduce(strange, Larger());
        if (threadIdx.x == 0) left[i] = (u8)strange;
        if (strange) continue;
        for (int p = threadIdx.x; p < n; p += blockDim.x) {
            const int y = p / width, x = p - y * width;
            eroded[p] = disc_extreme(own, height, width, y, x, starts, radius, Smaller());
        }
        __syncthreads();
        for (int p = threadIdx.x; p < n; p += blockDim.x) {
            const int y = p / width, x = p - y * width;
            const PIXEL opened = disc_extreme(eroded, height, width, y, x, starts, radius, Larger());
            tophat[p] = (VALUE)own[p] - (VALUE)opened;
        }
        __syncthreads();
        const u64 threshold = select_key(tophat, n, (i64)(0.99 * (double)(n - 1)));
        // -0 and 0 are equal, though their keys are not.
        const u64 zero = key_of((VALUE)0);
        const u64 negative = FLOATING ? zero - 1 : zero;
        for (i64 p = threadIdx.x; p < n; p += blockDim.x) {
            const u64 key = key_of(tophat[p]);
            mask[p] = key > threshold && !(threshold == negative && key == zero);
        }
        __syncthreads();
    }
}
