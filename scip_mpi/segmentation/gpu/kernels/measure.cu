// What is measured of planes and masks: scip_mpi/measure.py, in its order of additions.

// Numbers of a plane: the three of its summary, then its statistics.
#define SUMMARY 3
#define STATISTICS 10

// Fraction of saturated pixels, mean outside the mask, root mean square of the differences of
// neighbours: image_summary. `columns` is scratch for two numbers per column.
__device__ void summarise(
    const PIXEL* own, const u8* mask, int height, int width, double saturation, double* columns,
    double* out
) {
    i64 full = 0, inside = 0;
    for (int x = threadIdx.x; x < width; x += blockDim.x) {
        double outside = 0.0, squares = 0.0;
        for (int y = 0; y < height; y++) {
            const int p = y * width + x;
            const double value = (double)own[p];
            full += value >= saturation;
            inside += mask[p];
            outside += mask[p] ? 0.0 : value;
            if (x + 1 < width) {
                const double step = (double)own[p + 1] - value;
                squares += step * step;
            }
            if (y + 1 < height) {
                const double step = (double)own[p + width] - value;
                squares += step * step;
            }
        }
        columns[2 * x] = outside;
        columns[2 * x + 1] = squares;
    }
    full = reduce(full, Sum());
    inside = reduce(inside, Sum());
    if (threadIdx.x == 0) {
        const i64 n = (i64)height * width;
        const i64 pairs = (i64)height * (width - 1) + (i64)(height - 1) * width;
        double outside = 0.0, squares = 0.0;
        for (int x = 0; x < width; x++) {
            outside += columns[2 * x];
            squares += columns[2 * x + 1];
        }
        out[0] = (double)full / (double)n;
        out[1] = outside / (double)(n - inside);
        out[2] = pairs ? sqrt(squares / (double)pairs) : 0.0;
    }
    __syncthreads();
}

// Statistics of the pixels in a mask: measure_all. `sums` is scratch for 6 numbers, `parent` for as
// many as pixels.
__device__ void measure_plane(
    const PIXEL* own, const u8* mask, int height, int width, double saturation, double* sums,
    int* parent, double* out
) {
    const int n = height * width, me = threadIdx.x;
    i64 count = 0, full = 0, sum_y = 0, sum_x = 0, pairs = 0;
    double high = -INFINITE, low = INFINITE;
    for (int p = me; p < n; p += blockDim.x) {
        if (!mask[p]) continue;
        const int y = p / width, x = p - y * width;
        const double value = (double)own[p];
        count++;
        full += value >= saturation;
        sum_y += y;
        sum_x += x;
        pairs += (x + 1 < width && mask[p + 1]) + (y + 1 < height && mask[p + width]);
        high = Larger()(high, value);
        low = Smaller()(low, value);
    }
    count = reduce(count, Sum());
    full = reduce(full, Sum());
    sum_y = reduce(sum_y, Sum());
    sum_x = reduce(sum_x, Sum());
    pairs = reduce(pairs, Sum());
    high = reduce(high, Larger());
    low = reduce(low, Smaller());
    // Sums have an order: a thread takes one of them alone.
    for (int sum = me; sum < 2; sum += blockDim.x) {
        double total = 0.0;
        for (int p = 0; p < n; p++) {
            if (!mask[p]) continue;
            const double value = (double)own[p];
            if (sum == 0) {
                total += value;
                continue;
            }
            const int y = p / width, x = p - y * width;
            if (x + 1 < width && mask[p + 1]) {
                const double step = (double)own[p + 1] - value;
                total += step * step;
            }
            if (y + 1 < height && mask[p + width]) {
                const double step = (double)own[p + width] - value;
                total += step * step;
            }
        }
        sums[sum] = total;
    }
    __syncthreads();
    const double mean = sums[0] / (double)count;
    const double mean_y = (double)sum_y / (double)count, mean_x = (double)sum_x / (double)count;
    for (int sum = me; sum < 4; sum += blockDim.x) {
        double total = 0.0;
        for (int p = 0; p < n; p++) {
            if (!mask[p]) continue;
            const int y = p / width, x = p - y * width;
            const double d = (double)own[p] - mean, down = y - mean_y, over = x - mean_x;
            total += sum == 0 ? d * d : sum == 1 ? down * down : sum == 2 ? over * over : down * over;
        }
        sums[2 + sum] = total;
    }
    label(mask, height, width, 1, true, parent);
    i64 components = 0;
    for (int p = me; p < n; p += blockDim.x) components += mask[p] && find_root(parent, p) == p;
    components = reduce(components, Sum());
    if (me == 0) {
        const double number = (double)count;
        const double yy = sums[3], xx = sums[4], yx = sums[5];
        const double half = 0.5 * (yy + xx);
        const double spread = sqrt(0.25 * (xx - yy) * (xx - yy) + yx * yx);
        const double major = half + spread;
        out[0] = sums[0];
        out[1] = count ? mean : NO_NUMBER;
        out[2] = count ? sqrt(sums[2] / number) : NO_NUMBER;
        out[3] = count ? high : NO_NUMBER;
        out[4] = count ? low : NO_NUMBER;
        out[5] = number;
        out[6] = count ? (major > 0.0 ? sqrt(Larger()(half - spread, 0.0) / major) : 1.0) : NO_NUMBER;
        out[7] = (double)components;
        out[8] = count ? (pairs ? sqrt(sums[1] / (double)pairs) : 0.0) : NO_NUMBER;
        out[9] = count ? (double)full / number : NO_NUMBER;
    }
    __syncthreads();
}

// Measures all planes of images. numbers: for each channel the value from which a pixel is saturated,
// and whether its summary and its statistics are wanted. Scratch of a block: a plane of 128 bits, 6
// numbers, and a plane of 32 bits.
extern "C" __global__ void __launch_bounds__(MOST_THREADS) measure(
    const PIXEL* pixels, const Plane* planes, i64 count, const double* numbers, const i64* starts,
    const double* weights, const u8* masks, double* measured, char* scratch, i64 scratch_bytes,
    i64 largest
) {
    double* columns = (double*)(scratch + blockIdx.x * scratch_bytes);
    double* sums = columns + 2 * largest;
    int* parent = (int*)(sums + 6);
    for (i64 i = blockIdx.x; i < count; i += gridDim.x) {
        const Plane plane = planes[i];
        const int height = (int)plane.height, width = (int)plane.width;
        const PIXEL* own = pixels + plane.at;
        const u8* mask = masks + plane.at;
        const double* wanted = numbers + 3 * plane.channel;
        double* out = measured + (SUMMARY + STATISTICS) * i;
        if (wanted[1] != 0.0) summarise(own, mask, height, width, wanted[0], columns, out);
        if (wanted[2] != 0.0) {
            measure_plane(own, mask, height, width, wanted[0], sums, parent, out + SUMMARY);
        }
    }
}
