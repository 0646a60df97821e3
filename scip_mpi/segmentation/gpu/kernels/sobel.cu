// The gradient above Otsu's threshold: segmentation/sobel.py.

// numbers: scale, floor. Scratch of a block: 2 planes of double, and a histogram.
extern "C" __global__ void __launch_bounds__(MOST_THREADS) sobel(
    const PIXEL* pixels, const Plane* planes, i64 count, const double* numbers, const i64* starts,
    const double* weights, u8* masks, u8* left, char* scratch, i64 scratch_bytes, i64 largest
) {
    double* a = (double*)(scratch + blockIdx.x * scratch_bytes);
    double* b = a + largest;
    Histogram h = histogram_at((char*)(b + largest), COARSE);
    for (i64 i = blockIdx.x; i < count; i += gridDim.x) {
        const Plane plane = planes[i];
        const int height = (int)plane.height, width = (int)plane.width;
        const i64 n = plane.height * plane.width;
        u8* mask = masks + plane.at;
        for (i64 p = threadIdx.x; p < n; p += blockDim.x) {
            a[p] = Larger()((double)pixels[plane.at + p] * numbers[0], numbers[1]);
        }
        __syncthreads();
        gradient(a, height, width, b);
        double low = LARGEST, high = -LARGEST;
        int strange = 0;
        for (i64 p = threadIdx.x; p < n; p += blockDim.x) {
            low = Smaller()(low, b[p]);
            high = Larger()(high, b[p]);
            strange |= !is_finite(b[p]);
        }
        low = reduce(low, Smaller());
        high = reduce(high, Larger());
        if (threadIdx.x == 0) left[i] = 0;
        if (reduce(strange, Larger()) || low == high) continue;
        count_pixels(b, n, low, high, false, 0, &h);
        if (h.bins == 0) continue;
        const double threshold = otsu_of_counts(h, n);
        for (i64 p = threadIdx.x; p < n; p += blockDim.x) mask[p] = b[p] > threshold;
        __syncthreads();
        flip_small(mask, height, width, 0, n, (int*)a);
        flip_small(mask, height, width, 1, 4 * SMALLEST_OBJECT, (int*)a);
    }
}
