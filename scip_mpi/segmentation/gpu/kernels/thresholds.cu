// Thresholds from histograms of a plane: segmentation/thresholds.py.

#define COARSE 256
// Of a level of a histogram.
#define HISTOGRAM_BYTES 24

// Level by level for whole numbers, else in COARSE bins. The arrays have a place for each.
struct Histogram {
    int* counts;
    int* below;
    double* up;
    double* down;
    double low, high, step;
    bool whole;
    int bins;

    __device__ double edge(int k) const { return k == COARSE ? high : k * step + low; }
    __device__ double centre(int k) const {
        return whole ? low + k : (edge(k) + edge(k + 1)) / 2;
    }
};

// What a histogram of so many levels takes of scratch, which starts at a multiple of 8 bytes.
__device__ Histogram histogram_at(char* scratch, i64 levels) {
    Histogram h;
    h.up = (double*)scratch;
    h.down = h.up + levels;
    h.counts = (int*)(h.down + levels);
    h.below = h.counts + levels;
    h.bins = 0;
    return h;
}

// Count pixels, of which not all are equal; no bins if double precision has none in their range.
__device__ void count_pixels(
    const double* values, i64 n, double low, double high, bool whole, i64 levels, Histogram* h
) {
    h->low = low;
    h->high = high;
    h->whole = whole && high - low < levels;
    const double span = high - low;
    h->step = span / COARSE;
    h->bins = h->whole ? (int)span + 1 : COARSE;
    if (!h->whole) {
        int bad = h->step == 0.0 || !is_finite(span);
        for (int k = threadIdx.x; k < COARSE; k += blockDim.x) bad |= h->edge(k) >= h->edge(k + 1);
        if (reduce(bad, Larger())) {
            h->bins = 0;
            return;
        }
    }
    for (int k = threadIdx.x; k < h->bins; k += blockDim.x) h->counts[k] = 0;
    __syncthreads();
    for (i64 p = threadIdx.x; p < n; p += blockDim.x) {
        const double value = values[p];
        int k;
        if (h->whole) {
            k = (int)(value - low);
        } else {
            k = (int)((value - low) / span * COARSE);
            if (k > COARSE - 1) k = COARSE - 1;
            if (value < h->edge(k)) {
                k--;
            } else if (k < COARSE - 1 && value >= h->edge(k + 1)) {
                k++;
            }
        }
        atomicAdd(&h->counts[k], 1);
    }
    __syncthreads();
}

struct Peak {
    double height;
    int place;
};

// The higher one; of equals the one in front.
struct Higher {
    __device__ Peak operator()(Peak a, Peak b) const {
        return b.height > a.height || (b.height == a.height && b.place < a.place) ? b : a;
    }
};

__device__ double otsu_of_counts(const Histogram& h, i64 n) {
    // The sums have an order, so one thread takes them.
    if (threadIdx.x == 0) {
        int below = 0;
        double total = 0.0;
        for (int k = 0; k < h.bins; k++) {
            below += h.counts[k];
            total += h.counts[k] * h.centre(k);
            h.below[k] = below;
            h.up[k] = total;
        }
        total = 0.0;
        for (int k = h.bins - 2; k >= 0; k--) {
            total += h.counts[k + 1] * h.centre(k + 1);
            h.down[k] = total;
        }
    }
    __syncthreads();
    Peak best = {-1.0, h.bins};
    for (int k = threadIdx.x; k < h.bins - 1; k += blockDim.x) {
        const int below = h.below[k];
        const i64 above = n - below;
        const double gap = h.up[k] / below - h.down[k] / above;
        const double sizes = product_of_sizes(below, above);
        const Peak here = {sizes * (gap * gap), k};
        best = Higher()(best, here);
    }
    const int place = reduce(best, Higher()).place;
    // Sums that overflow have no variances to compare: the first bin it is.
    return h.centre(place < h.bins ? place : 0);
}

__device__ double li_of_counts(const Histogram& h, i64 n) {
    i64 total = 0;
    for (int k = threadIdx.x; k < h.bins; k += blockDim.x) total += (i64)h.counts[k] * k;
    total = reduce(total, Sum());
    double following = (double)total / (double)n;
    double threshold = -1.0;
    while (fabs(following - threshold) > 0.5) {
        threshold = following;
        i64 below = 0, part = 0;
        for (int k = threadIdx.x; k < h.bins && k <= threshold; k += blockDim.x) {
            below += h.counts[k];
            part += (i64)h.counts[k] * k;
        }
        below = reduce(below, Sum());
        part = reduce(part, Sum());
        if (part == 0 || below == n) break;
        const double mean_below = (double)part / (double)below;
        const double mean_above = (double)(total - part) / (double)(n - below);
        following = (mean_below - mean_above) / (logarithm(mean_below) - logarithm(mean_above));
    }
    return following + h.centre(0);
}

__device__ double triangle_of_counts(const Histogram& h) {
    Peak most = {-1.0, h.bins};
    for (int k = threadIdx.x; k < h.bins; k += blockDim.x) {
        const Peak here = {(double)h.counts[k], k};
        most = Higher()(most, here);
    }
    const int peak = reduce(most, Higher()).place;
    const i64 height = h.counts[peak];
    const bool flip = peak < h.bins - 1 - peak;
    const i64 width = flip ? h.bins - 1 - peak : peak;
    const double norm = sqrt((double)(height * height + width * width));
    const double along = height / norm, up = width / norm;
    Peak best = {-LARGEST, (int)width};
    for (int x = threadIdx.x; x < width; x += blockDim.x) {
        const Peak here = {along * x - up * h.counts[flip ? h.bins - 1 - x : x], x};
        best = Higher()(best, here);
    }
    const int x = reduce(best, Higher()).place;
    return h.centre(flip ? h.bins - 1 - x : x);
}

// Numpy's percentile, linear between two of `n` pixels.
__device__ double percentile(const double* values, i64 n, double percent) {
    const double place = (double)(n - 1) * (percent / 100);
    const i64 k = (i64)place;
    const double lower = value_of(select_key(values, n, k));
    const double part = place - (double)k;
    if (k + 1 >= n || part == 0) return lower;
    const double upper = value_of(select_key(values, n, k + 1));
    if (part < 0.5) return lower + (upper - lower) * part;
    return upper - (upper - lower) * (1 - part);
}
