// Pixels above or below a threshold, given or found in each plane: segmentation/threshold.py.

enum { FIXED, OTSU, LI, TRIANGLE, PERCENTILE, LOCAL };

// Mean over a square of `size` x `size` pixels: running sums down the columns, then along the rows.
__device__ void box_mean(
    const double* plane, int height, int width, int size, double* between, double* out
) {
    const int half = size / 2;
    for (int x = threadIdx.x; x < width; x += blockDim.x) {
        double total = 0.0;
        for (int y = 0; y < size; y++) total += plane[mirror(y - half, height) * width + x];
        between[x] = total / size;
        for (int y = 1; y < height; y++) {
            total += plane[mirror(y + size - 1 - half, height) * width + x]
                - plane[mirror(y - 1 - half, height) * width + x];
            between[y * width + x] = total / size;
        }
    }
    __syncthreads();
    for (int y = threadIdx.x; y < height; y += blockDim.x) {
        const double* line = between + y * width;
        double total = 0.0;
        for (int x = 0; x < size; x++) total += line[mirror(x - half, width)];
        out[y * width] = total / size;
        for (int x = 1; x < width; x++) {
            total += line[mirror(x + size - 1 - half, width)] - line[mirror(x - 1 - half, width)];
            out[y * width + x] = total / size;
        }
    }
    __syncthreads();
}

// A plane's threshold; false if the plane is left to the CPU. Where it has none, nothing is above.
__device__ bool find_threshold(
    const double* plane, i64 n, int method, double percent, bool whole, i64 levels, double* values,
    Histogram* h, double* result
) {
    const Range range = range_of(plane, n);
    const double low = range.low, high = range.high;
    if (!range.finite) return false;
    *result = LARGEST;
    if (method == PERCENTILE) {
        *result = percentile(plane, n, percent);
        return true;
    }
    if (low == high) return true;
    if (method == LI && !(whole && high - low < levels)) {
        return li_threshold(plane, n, whole, values, values + n, result);
    }
    count_pixels(plane, n, low, high, whole, levels, h);
    if (h->bins == 0) return true;
    *result = method == OTSU ? otsu_of_counts(*h, n)
        : method == TRIANGLE ? triangle_of_counts(*h) : li_of_counts(*h, n);
    return true;
}

// numbers: the method, percentile, side of the square, offset, whether objects are dark, levels of a
// histogram of whole numbers, then each channel's value. starts, weights: half a kernel of each
// channel. Scratch of a block: 3 planes of double and a quarter, 64 numbers, and the histogram.
MASK_KERNEL(threshold) {
    double* a = (double*)(scratch + blockIdx.x * scratch_bytes);
    double* b = a + largest;
    double* c = b + largest;
    const int method = (int)numbers[0], side = (int)numbers[2];
    const bool dark = numbers[4] != 0.0;
    const i64 levels = (i64)numbers[5];
    Histogram h = histogram_at((char*)(c + largest + largest / 4 + 64), levels);
    for (i64 i = blockIdx.x; i < count; i += gridDim.x) {
        const Plane plane = planes[i];
        const int height = (int)plane.height, width = (int)plane.width;
        const i64 n = plane.height * plane.width;
        u8* mask = masks + plane.at;
        for (i64 p = threadIdx.x; p < n; p += blockDim.x) {
            const double value = (double)pixels[plane.at + p];
            a[p] = dark ? -value : value;
        }
        __syncthreads();
        const i64* half = starts + plane.channel;
        const int radius = (int)(half[1] - half[0]) - 1;
        if (radius > 0) gaussian(a, b, height, width, weights + half[0], radius, Nearest());
        const double given = numbers[6 + plane.channel];
        double t = dark ? -given : given;
        bool found = true;
        if (method == LOCAL) {
            box_mean(a, height, width, side, b, c);
        } else if (method != FIXED) {
            const bool whole = !FLOATING && radius == 0;
            found = find_threshold(a, n, method, numbers[1], whole, levels, b, &h, &t);
        }
        if (threadIdx.x == 0) left[i] = !found;
        for (i64 p = threadIdx.x; p < n; p += blockDim.x) {
            mask[p] = a[p] > (method == LOCAL ? c[p] - numbers[3] : t);
        }
        __syncthreads();
    }
}
