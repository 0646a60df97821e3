// Li's threshold of the smoothed gradient: segmentation/li.py.

#define BLOCK 128

// Natural logarithm of a positive number, in the operations of segmentation/logarithm.py.
__device__ double logarithm(double x) {
    int exponent;
    double m = frexp(x, &exponent);
    if (m < 0.70710678118654752) {
        m *= 2.0;
        exponent -= 1;
    }
    const double f = m - 1.0, d = m + 1.0;
    const double rest = m - (d - 1.0);
    const double s = f / d;
    // The product s * d in two parts.
    const double ss = 134217729.0 * s, s1 = ss - (ss - s), s2 = s - s1;
    const double dd = 134217729.0 * d, d1 = dd - (dd - d), d2 = d - d1;
    const double p = s * d;
    const double error = ((s1 * d1 - p) + s1 * d2 + s2 * d1) + s2 * d2;
    const double more = (((f - p) - error) - s * rest) / d;
    const double z = s * s;
    double series = 1.0 / 23.0;
    for (int k = 21; k >= 3; k -= 2) series = series * z + 1.0 / k;
    const double tail = more + s * (z * series);
    const double e = (double)exponent;
    const double high = e * 6.93147180369123816490e-01, twice = 2.0 * s;
    const double sum = high + twice;
    const double other = sum - high;
    const double low = (high - (sum - other)) + (twice - other);
    return sum + (low + (e * 1.90821492927058770002e-10 + 2.0 * tail));
}

// Which of `n` values node `index` of level `depth` of the tree of halves sums up; whether there is
// such a node, since those of at most BLOCK values have no halves: they stand for all that would be
// below them, in the place of the leftmost.
__device__ bool node(i64 n, int depth, int index, i64* start, i64* size, bool* leaf) {
    *start = 0;
    *size = n;
    for (int level = depth - 1; level >= 0; level--) {
        if (*size <= BLOCK) {
            *leaf = true;
            return (index & ((2 << level) - 1)) == 0;
        }
        i64 half = *size / 2;
        half -= half % 8;
        if ((index >> level) & 1) {
            *start += half;
            *size -= half;
        } else {
            *size = half;
        }
    }
    *leaf = *size <= BLOCK;
    return true;
}

// Sum in numpy's order: pairwise_sum. `sums` is scratch for 8 numbers per leaf.
__device__ double pairwise_sum(const double* values, i64 n, double* sums) {
    int depth = 0;
    // The right half is never the smaller one.
    for (i64 size = n; size > BLOCK; depth++) {
        i64 half = size / 2;
        size -= half - half % 8;
    }
    const int leaves = 1 << depth;
    i64 start, size;
    bool leaf;
    for (int item = threadIdx.x; item < leaves * 8; item += blockDim.x) {
        const int chain = item % 8;
        if (!node(n, depth, item / 8, &start, &size, &leaf) || chain >= size) continue;
        double sum = values[start + chain];
        const i64 end = start + size - size % 8;
        for (i64 k = start + chain + 8; k < end; k += 8) sum += values[k];
        sums[item] = sum;
    }
    __syncthreads();
    for (int item = threadIdx.x; item < leaves; item += blockDim.x) {
        if (!node(n, depth, item, &start, &size, &leaf)) continue;
        double* r = sums + 8 * item;
        double total = 0.0;
        i64 k = start;
        if (size >= 8) {
            total = ((r[0] + r[1]) + (r[2] + r[3])) + ((r[4] + r[5]) + (r[6] + r[7]));
            k = start + size - size % 8;
        }
        for (; k < start + size; k++) total += values[k];
        r[0] = total;
    }
    __syncthreads();
    for (int level = depth - 1; level >= 0; level--) {
        for (int index = threadIdx.x; index < 1 << level; index += blockDim.x) {
            if (!node(n, level, index, &start, &size, &leaf) || leaf) continue;
            const int left = index << (depth - level), right = left + (1 << (depth - level - 1));
            sums[8 * left] += sums[8 * right];
        }
        __syncthreads();
    }
    const double result = sums[0];
    __syncthreads();
    return result;
}

// Li's threshold of a plane; false if the plane is left to the CPU: a pixel is not finite, or the
// smallest gap between two of them matters and is not known, as it is of `whole` numbers.
__device__ bool li_threshold(
    const double* plane, i64 n, bool whole, double* values, double* sums, double* result
) {
    const Range range = range_of(plane, n);
    if (!range.finite) return false;
    const double low = range.low;
    *result = low;
    if (low == range.high) return true;
    double bound = LARGEST;
    for (i64 k = threadIdx.x; k < n; k += blockDim.x) {
        values[k] = plane[k] - low;
        const double before = plane[k > 0 ? k - 1 : 0] - low;
        const double gap = values[k] > before ? values[k] - before : before - values[k];
        if (gap > 0) bound = Smaller()(bound, gap);
    }
    bound = reduce(bound, Smaller());
    double threshold = pairwise_sum(values, n, sums) / (double)n;
    double step = LARGEST;
    i64 before = -1;
    const Share share(n);
    while (true) {
        i64 count = 0;
        for (int k = share.first; k < share.last; k++) count += plane[k] - low > threshold;
        const i64 above = reduce(count, Sum());
        if (above == before || above == 0 || above == n) break;
        if (2.0 * step <= bound) {
            if (whole && bound == 1.0) break;
            return false;
        }
        const i64 below = n - above;
        i64 place = sum_before(count);
        for (int k = share.first; k < share.last; k++) {
            const double value = plane[k] - low;
            if (value > threshold) {
                values[below + place] = value;
                place++;
            } else {
                values[k - place] = value;
            }
        }
        __syncthreads();
        const double mean_below = pairwise_sum(values, below, sums) / (double)below;
        if (mean_below == 0.0) break;
        const double mean_above = pairwise_sum(values + below, above, sums) / (double)above;
        const double following =
            (mean_below - mean_above) / (logarithm(mean_below) - logarithm(mean_above));
        step = following > threshold ? following - threshold : threshold - following;
        threshold = following;
        before = above;
    }
    *result = threshold + low;
    return true;
}

// numbers: scale, floor. starts, weights: both half kernels of each channel, one after another.
// Scratch of a block: 2 planes of double and a quarter, and 64 numbers.
MASK_KERNEL(li) {
    double* a = (double*)(scratch + blockIdx.x * scratch_bytes);
    double* b = a + largest;
    double* sums = b + largest;
    for (i64 i = blockIdx.x; i < count; i += gridDim.x) {
        const Plane plane = planes[i];
        const int height = (int)plane.height, width = (int)plane.width;
        const i64 n = plane.height * plane.width;
        u8* mask = masks + plane.at;
        scale_pixels(pixels + plane.at, n, numbers, a);
        const i64* half = starts + 2 * plane.channel;
        const int inner = (int)(half[1] - half[0]) - 1, outer = (int)(half[2] - half[1]) - 1;
        if (inner > 0) gaussian(a, b, height, width, weights + half[0], inner, Nearest());
        gradient(a, height, width, b);
        if (outer > 0) gaussian(b, a, height, width, weights + half[1], outer, Nearest());
        double threshold;
        const bool found = li_threshold(b, n, false, a, sums, &threshold);
        if (threadIdx.x == 0) left[i] = !found;
        if (found) {
            above(b, n, threshold, mask);
            tidy(mask, height, width, (int*)a);
        }
        __syncthreads();
    }
}
