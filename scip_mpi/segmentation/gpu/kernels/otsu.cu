// Otsu's threshold of the texture left by a median: segmentation/otsu.py.

#define BINS 512
#define LEVEL_BITS 10
#define RADIUS 5

// Edge j of the bins from `first` on.
__device__ inline REAL edge(int j, REAL first, REAL last, REAL step) {
    return j == BINS ? last : (REAL)j * step + first;
}

__device__ u16 bin_of(REAL value, REAL first, REAL last, REAL step) {
    const REAL guess = (value - first) / step;
    int j = guess >= 0 && guess < BINS ? (int)guess : (guess >= BINS ? BINS : 0);
    while (j < BINS && value >= edge(j + 1, first, last, step)) j++;
    while (j > 0 && value < edge(j, first, last, step)) j--;
    return (u16)(j + 1);
}

// Median within 5 pixels: the largest level below which are at most half of them, bit by bit.
__device__ void rank_median(const u16* levels, int height, int width, u16* out) {
    const int halves[2 * RADIUS + 1] = {0, 3, 4, 4, 4, 5, 4, 4, 4, 3, 0};
    for (int p = threadIdx.x; p < height * width; p += blockDim.x) {
        const int y = p / width, x = p - y * width;
        int median = 0;
        for (int bit = 1 << (LEVEL_BITS - 1); bit; bit >>= 1) {
            int below = 0, all = 0;
            for (int k = -RADIUS; k <= RADIUS; k++) {
                if (y + k < 0 || y + k >= height) continue;
                const int half = halves[k + RADIUS];
                const int from = x - half > 0 ? x - half : 0;
                const int to = x + half < width - 1 ? x + half : width - 1;
                const u16* line = levels + (y + k) * width;
                for (int q = from; q <= to; q++) below += line[q] < median + bit;
                all += to - from + 1;
            }
            if (2 * below <= all) median += bit;
        }
        out[p] = (u16)median;
    }
    __syncthreads();
}

struct Best {
    double variance;
    int level;
};

struct Better {
    __device__ Best operator()(Best a, Best b) const {
        return b.variance > a.variance || (b.variance == a.variance && b.level < a.level) ? b : a;
    }
};

__device__ int otsu_threshold(const u16* levels, i64 n) {
    __shared__ int counts[BINS + 2];
    for (int k = threadIdx.x; k < BINS + 2; k += blockDim.x) counts[k] = 0;
    __syncthreads();
    int low = BINS + 2, high = 0;
    i64 total = 0;
    for (i64 p = threadIdx.x; p < n; p += blockDim.x) {
        const int level = levels[p];
        atomicAdd(&counts[level], 1);
        low = Smaller()(low, level);
        high = Larger()(high, level);
        total += level;
    }
    low = reduce(low, Smaller());
    high = reduce(high, Larger());
    total = reduce(total, Sum());
    if (low == high) return low;
    const int share = (BINS + 2 + blockDim.x - 1) / blockDim.x;
    const int first = share * (int)threadIdx.x;
    i64 count = 0, part = 0;
    for (int k = first; k < first + share && k < BINS + 2; k++) {
        count += counts[k];
        part += (i64)counts[k] * k;
    }
    count = sum_before(count);
    part = sum_before(part);
    Best best = {-1.0, BINS + 2};
    for (int k = first; k < first + share && k < high; k++) {
        count += counts[k];
        part += (i64)counts[k] * k;
        if (k < low) continue;
        const double gap = (double)part / (double)count - (double)(total - part) / (double)(n - count);
        const double sizes = product_of_sizes(count, n - count);
        const double variance = sizes * (gap * gap);
        const Best here = {variance, k};
        best = Better()(best, here);
    }
    return reduce(best, Better()).level;
}

// weights: half a kernel of sigma 0.5, of numbers[0] + 1 weights. Scratch of a block: 2 planes of
// double and 2 of 16 bits.
MASK_KERNEL(otsu) {
    double* a = (double*)(scratch + blockIdx.x * scratch_bytes);
    double* b = a + largest;
    u16* levels = (u16*)(b + largest);
    u16* median = levels + largest;
    for (i64 i = blockIdx.x; i < count; i += gridDim.x) {
        const Plane plane = planes[i];
        const int height = (int)plane.height, width = (int)plane.width;
        const i64 n = plane.height * plane.width;
        const PIXEL* own = pixels + plane.at;
        u8* mask = masks + plane.at;
        PIXEL smallest = own[0], biggest = own[0];
        for (i64 p = threadIdx.x; p < n; p += blockDim.x) {
            smallest = Smaller()(smallest, own[p]);
            biggest = Larger()(biggest, own[p]);
        }
        smallest = reduce(smallest, Smaller());
        biggest = reduce(biggest, Larger());
        if (threadIdx.x == 0) left[i] = 0;
        if (any_strange(own, n)) continue;
        const bool binned = FLOATING || smallest < 0 || biggest > BINS;
        REAL first = (REAL)smallest, last = (REAL)biggest;
        if (first == last) {
            first = first - (REAL)0.5;
            last = last + (REAL)0.5;
        }
        const REAL step = (last - first) / (REAL)BINS;
        int top = 0;
        for (i64 p = threadIdx.x; p < n; p += blockDim.x) {
            levels[p] = binned ? bin_of((REAL)own[p], first, last, step) : (u16)own[p];
            top = Larger()(top, (int)levels[p]);
        }
        top = reduce(top, Larger());
        rank_median(levels, height, width, median);
        for (i64 p = threadIdx.x; p < n; p += blockDim.x) {
            a[p] = (double)levels[p] - (double)median[p];
        }
        __syncthreads();
        gaussian(a, b, height, width, weights, (int)numbers[0], Nearest());
        gradient(a, height, width, b);
        const Range range = range_of(b, n);
        const double low = range.low, high = range.high;
        if (low == high) continue;
        for (i64 p = threadIdx.x; p < n; p += blockDim.x) {
            levels[p] = (u16)(i64)((b[p] - low) / (high - low) * (double)top);
        }
        __syncthreads();
        rank_median(levels, height, width, median);
        above(median, n, (u16)otsu_threshold(median, n), mask);
        tidy(mask, height, width, (int*)a);
    }
}
