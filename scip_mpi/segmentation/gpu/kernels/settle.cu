// Components on the border, counts of the others, bounding boxes: segmentation/border.py.

// For each plane 5 numbers: components left, then first row, first column, end row and end column of
// the mask, or -1. numbers[0]: whether components on the border are removed. Scratch of a block: two
// planes of 32 bits.
extern "C" __global__ void __launch_bounds__(MOST_THREADS) settle(
    const PIXEL* pixels, const Plane* planes, i64 count, const double* numbers, const i64* starts,
    const double* weights, u8* masks, i64* facts, char* scratch, i64 scratch_bytes, i64 largest
) {
    const bool remove = numbers[0] != 0.0;
    int* parent = (int*)(scratch + blockIdx.x * scratch_bytes);
    int* touching = parent + largest;
    for (i64 i = blockIdx.x; i < count; i += gridDim.x) {
        const Plane plane = planes[i];
        const int height = (int)plane.height, width = (int)plane.width;
        const int n = height * width;
        u8* mask = masks + plane.at;
        for (int p = threadIdx.x; p < n; p += blockDim.x) {
            parent[p] = p;
            touching[p] = 0;
        }
        __syncthreads();
        for (int p = threadIdx.x; p < n; p += blockDim.x) {
            if (!mask[p]) continue;
            const int y = p / width, x = p - y * width;
            if (x > 0 && mask[p - 1]) join(parent, p, p - 1);
            if (y == 0) continue;
            if (mask[p - width]) {
                join(parent, p, p - width);
                continue;
            }
            // The pixel between these two would join them already.
            if (x > 0 && mask[p - width - 1]) join(parent, p, p - width - 1);
            if (x < width - 1 && mask[p - width + 1]) join(parent, p, p - width + 1);
        }
        __syncthreads();
        for (int p = threadIdx.x; p < n; p += blockDim.x) {
            if (!mask[p]) continue;
            const int y = p / width, x = p - y * width;
            const int sides = (y == 0) + (y == height - 1) + (x == 0) + (x == width - 1);
            if (sides) atomicAdd(&touching[find_root(parent, p)], sides);
        }
        __syncthreads();
        const int limit = (height < width ? height : width) / 4;
        i64 regions = 0;
        int top = height, left = width, bottom = -1, right = -1;
        for (int p = threadIdx.x; p < n; p += blockDim.x) {
            if (!mask[p]) continue;
            const int root = find_root(parent, p);
            if (remove && touching[root] > limit) {
                mask[p] = 0;
                continue;
            }
            const int y = p / width, x = p - y * width;
            regions += root == p;
            top = Smaller()(top, y);
            left = Smaller()(left, x);
            bottom = Larger()(bottom, y);
            right = Larger()(right, x);
        }
        regions = reduce(regions, Sum());
        top = reduce(top, Smaller());
        left = reduce(left, Smaller());
        bottom = reduce(bottom, Larger());
        right = reduce(right, Larger());
        if (threadIdx.x == 0) {
            const bool any = bottom >= 0;
            i64* own = facts + 5 * i;
            own[0] = regions;
            own[1] = any ? top : -1;
            own[2] = any ? left : -1;
            own[3] = any ? bottom + 1 : -1;
            own[4] = any ? right + 1 : -1;
        }
    }
}
