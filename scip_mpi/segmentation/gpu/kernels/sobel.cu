// The gradient above Otsu's threshold: segmentation/sobel.py.

// numbers: scale, floor. Scratch of a block: 2 planes of double, and a histogram.
MASK_KERNEL(sobel) {
    double* a = (double*)(scratch + blockIdx.x * scratch_bytes);
    double* b = a + largest;
    Histogram h = histogram_at((char*)(b + largest), COARSE);
    for (i64 i = blockIdx.x; i < count; i += gridDim.x) {
        const Plane plane = planes[i];
        const int height = (int)plane.height, width = (int)plane.width;
        const i64 n = plane.height * plane.width;
        u8* mask = masks + plane.at;
        scale_pixels(pixels + plane.at, n, numbers, a);
        gradient(a, height, width, b);
        const Range range = range_of(b, n);
        if (threadIdx.x == 0) left[i] = 0;
        if (!range.finite || range.low == range.high) continue;
        count_pixels(b, n, range.low, range.high, false, 0, &h);
        if (h.bins == 0) continue;
        above(b, n, otsu_of_counts(h, n), mask);
        tidy(mask, height, width, (int*)a);
    }
}
