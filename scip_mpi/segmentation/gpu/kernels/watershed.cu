// Flooding from what is surely background and surely edge: segmentation/watershed.py.

#define SMALLEST_HOLE 300

// Add the pixels beside a mask, by sides; `grown` is scratch.
__device__ void grow(u8* mask, int height, int width, u8* grown) {
    const int n = height * width;
    for (int p = threadIdx.x; p < n; p += blockDim.x) {
        const int y = p / width, x = p - y * width;
        grown[p] = mask[p] || (y > 0 && mask[p - width]) || (y < height - 1 && mask[p + width])
            || (x > 0 && mask[p - 1]) || (x < width - 1 && mask[p + 1]);
    }
    __syncthreads();
    for (int p = threadIdx.x; p < n; p += blockDim.x) mask[p] = grown[p];
    __syncthreads();
}

// numbers: scale, floor, radius of the disc. starts: half widths of its rows. Scratch of a block: 2
// planes of double, a histogram, and a queue.
MASK_KERNEL(watershed) {
    double* a = (double*)(scratch + blockIdx.x * scratch_bytes);
    double* b = a + largest;
    Histogram h = histogram_at((char*)(b + largest), COARSE);
    Item* heap = (Item*)((char*)(b + largest) + HISTOGRAM_BYTES * COARSE);
    const int radius = (int)numbers[2];
    for (i64 i = blockIdx.x; i < count; i += gridDim.x) {
        const Plane plane = planes[i];
        const int height = (int)plane.height, width = (int)plane.width;
        const i64 n = plane.height * plane.width;
        u8* mask = masks + plane.at;
        if (threadIdx.x == 0) left[i] = 0;
        scale_pixels(pixels + plane.at, n, numbers, a);
        gradient(a, height, width, b);
        if (!range_of(b, n).finite) continue;
        disc_filter(b, height, width, starts, radius, Larger(), a);
        disc_filter(a, height, width, starts, radius, Smaller(), b);
        const Range range = range_of(b, n);
        if (range.low == range.high) continue;
        count_pixels(b, n, range.low, range.high, false, 0, &h);
        if (h.bins == 0) continue;
        const double t = otsu_of_counts(h, n);
        // On an empty mask, the whole of a small image would count as a hole.
        if (!(range.high > t + t * 0.5)) continue;
        for (i64 p = threadIdx.x; p < n; p += blockDim.x) {
            a[p] = (double)pixels[plane.at + p];
            mask[p] = b[p] < t - t * 0.5 ? 1 : b[p] > t + t * 0.5 ? 2 : 0;
        }
        __syncthreads();
        if (threadIdx.x == 0) {
            int waiting = 0;
            for (int p = 0; p < n; p++) {
                const Item marker = {a[p], 0, p, p};
                if (mask[p]) push(heap, waiting++, marker);
            }
            spread<true>(a, (const u8*)nullptr, mask, height, width, heap, waiting);
        }
        __syncthreads();
        for (i64 p = threadIdx.x; p < n; p += blockDim.x) mask[p] = mask[p] == 2;
        __syncthreads();
        flip_small(mask, height, width, 0, 4 * SMALLEST_HOLE, (int*)a);
        grow(mask, height, width, (u8*)a);
        flip_small(mask, height, width, 1, 4 * SMALLEST_OBJECT, (int*)a);
    }
}
