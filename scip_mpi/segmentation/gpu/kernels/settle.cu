// What follows every mask method: segmentation/cleaning.py and border.py.

struct Found {
    int size, root;
};

struct Foremost {
    __device__ Found operator()(Found a, Found b) const {
        return b.size > a.size || (b.size == a.size && b.root < a.root) ? b : a;
    }
};

// Remove components of labelled planes whose sum is not within limits.
__device__ void keep_within(
    u8* mask, int n, const int* parent, const int* sums, i64 least, i64 most
) {
    for (int p = threadIdx.x; p < n; p += blockDim.x) {
        if (!mask[p]) continue;
        const i64 sum = sums[find_root(parent, p)];
        if (sum < least || sum > most) mask[p] = 0;
    }
    __syncthreads();
}

// Eight pixels in a byte, the first in its lowest bit: segmentation/bits.py.
__device__ void pack(const u8* mask, i64 n, u8* bits) {
    for (i64 b = threadIdx.x; 8 * b < n; b += blockDim.x) {
        int byte = 0;
        for (int k = 0; k < 8 && 8 * b + k < n; k++) byte |= mask[8 * b + k] << k;
        bits[b] = (u8)byte;
    }
}

// Packs the masks, and for each plane finds 5 numbers: components left, then first row, first column,
// end row and end column of the mask, or -1. starts: half widths of the rows of the disc to open by.
// numbers: its radius, 0 for none; whether holes are filled; the least and the most pixels of a
// component; whether components on the border are removed; whether only the largest is kept. Scratch
// of a block: two planes of 32 bits and one of 8.
extern "C" __global__ void __launch_bounds__(MOST_THREADS) settle(
    const PIXEL* pixels, const Plane* planes, i64 count, const double* numbers, const i64* starts,
    u8* bits, u8* masks, i64* facts, char* scratch, i64 scratch_bytes, i64 largest
) {
    int* parent = (int*)(scratch + blockIdx.x * scratch_bytes);
    int* sums = parent + largest;
    u8* eroded = (u8*)(sums + largest);
    const int radius = (int)numbers[0];
    const bool fill = numbers[1] != 0.0, border = numbers[4] != 0.0, alone = numbers[5] != 0.0;
    const i64 least = (i64)numbers[2], most = (i64)numbers[3];
    for (i64 i = blockIdx.x; i < count; i += gridDim.x) {
        const Plane plane = planes[i];
        const int height = (int)plane.height, width = (int)plane.width;
        const int n = height * width;
        u8* mask = masks + plane.at;
        if (radius) {
            disc_filter(mask, height, width, starts, radius, Smaller(), eroded);
            disc_filter(eroded, height, width, starts, radius, Larger(), mask);
        }
        if (fill) fill_holes(mask, height, width, parent, sums);
        label(mask, height, width, 1, true, parent);
        if (least > 1 || most < n) {
            sum_up(mask, height, width, 1, parent, sums, One());
            keep_within(mask, n, parent, sums, least, most);
        }
        if (border) {
            const Sides sides = {height, width};
            sum_up(mask, height, width, 1, parent, sums, sides);
            keep_within(mask, n, parent, sums, 0, (height < width ? height : width) / 4);
        }
        i64 regions = 0;
        for (int p = threadIdx.x; p < n; p += blockDim.x) {
            regions += mask[p] && find_root(parent, p) == p;
        }
        regions = reduce(regions, Sum());
        if (alone && regions > 1) {
            sum_up(mask, height, width, 1, parent, sums, One());
            Found best = {0, n};
            for (int p = threadIdx.x; p < n; p += blockDim.x) {
                const Found here = {mask[p] ? sums[p] : 0, p};
                best = Foremost()(best, here);
            }
            best = reduce(best, Foremost());
            for (int p = threadIdx.x; p < n; p += blockDim.x) {
                if (mask[p] && find_root(parent, p) != best.root) mask[p] = 0;
            }
            __syncthreads();
            regions = 1;
        }
        pack(mask, n, bits + plane.packed);
        int top = height, left = width, bottom = -1, right = -1;
        for (int p = threadIdx.x; p < n; p += blockDim.x) {
            if (!mask[p]) continue;
            const int y = p / width, x = p - y * width;
            top = Smaller()(top, y);
            left = Smaller()(left, x);
            bottom = Larger()(bottom, y);
            right = Larger()(right, x);
        }
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
