// The largest values of the top-hat transform: segmentation/spot.py.

// starts: half widths of the disc's rows; numbers[0]: its radius. Scratch of a block: 2 planes of 64
// bits.
MASK_KERNEL(spot) {
    const int radius = (int)numbers[0];
    VALUE* tophat = (VALUE*)(scratch + blockIdx.x * scratch_bytes);
    PIXEL* eroded = (PIXEL*)((i64*)tophat + largest);
    for (i64 i = blockIdx.x; i < count; i += gridDim.x) {
        const Plane plane = planes[i];
        const int height = (int)plane.height, width = (int)plane.width;
        const i64 n = plane.height * plane.width;
        const PIXEL* own = pixels + plane.at;
        u8* mask = masks + plane.at;
        const bool strange = any_strange(own, n);
        if (threadIdx.x == 0) left[i] = strange;
        if (strange) continue;
        disc_filter(own, height, width, starts, radius, Smaller(), eroded);
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
